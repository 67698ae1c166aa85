/**
 * Runs the test suites one after the other and closes with one line: `N passed, N failed`.
 *
 * Usage: `deno run -A scripts/run_tests.ts [SUITE ...]`
 *
 * @module
 */

import { sweep } from "./sweep.ts";

const TOP = new URL("../", import.meta.url).pathname;

interface Suite {
  readonly name: string;
  /** Folders of Deno tests. */
  readonly folders?: readonly string[];
  /** Or a command that passes or fails as one. */
  readonly command?: readonly string[];
  /** Ten times what the suite takes, so that a hang ends. */
  readonly guardMinutes: number;
  /** Runs only where it is named: it needs more than CI gives it. */
  readonly onRequest?: true;
}

const SUITES: readonly Suite[] = [
  { name: "check", command: ["scripts/check"], guardMinutes: 10 },
  { name: "unit", folders: ["src", "scripts", "bench"], guardMinutes: 20 },
  { name: "build", command: ["scripts/build"], guardMinutes: 15 },
  { name: "integration", folders: ["tests/integration"], guardMinutes: 30 },
  { name: "e2e", folders: ["tests/e2e"], guardMinutes: 30 },
  { name: "faults", folders: ["tests/faults"], guardMinutes: 40 },
  { name: "fuzz", folders: ["tests/fuzz"], guardMinutes: 10 },
  { name: "kubelet", folders: ["tests/kubelet"], guardMinutes: 300, onRequest: true },
];

interface Tally {
  readonly passed: number;
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

interface Run {
  /** Fires at Ctrl-C and its kind. */
  readonly signal: AbortSignal;
  /** Every temporary file of the tests goes below it. */
  readonly directory: string;
}

async function runSuite(suite: Suite, run: Run): Promise<Tally> {
  if (suite.command !== undefined) {
    const [program = "", ...args] = suite.command;
    const ok = await runProgram(`${TOP}${program}`, args, suite.guardMinutes, run);
    return ok ? { passed: 1, failed: [], skipped: [] } : {
      passed: 0,
      failed: [suite.name],
      skipped: [],
    };
  }
  const folders = await existing(suite.folders ?? []);
  if (folders.length === 0) return { passed: 0, failed: [], skipped: [] };
  const report = `${run.directory}/junit.xml`;
  const ok = await runProgram(
    Deno.execPath(),
    [
      "test",
      "-A",
      "--no-check",
      "--quiet",
      `--junit-path=${report}`,
      ...folders,
    ],
    suite.guardMinutes,
    run,
  );
  const tally = tallyOf(await Deno.readTextFile(report).catch(() => ""));
  // A crash, a leak outside a test or the guard fails the run although no test says so.
  return ok || tally.failed.length > 0
    ? tally
    : { ...tally, failed: [`${suite.name}, as a whole`] };
}

function isWanted(suite: Suite, wanted: readonly string[]): boolean {
  return wanted.length === 0 ? suite.onRequest === undefined : wanted.includes(suite.name);
}

async function existing(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    if (await hasTests(`${TOP}${folder}`)) found.push(`${TOP}${folder}`);
  }
  return found;
}

async function hasTests(folder: string): Promise<boolean> {
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.name.endsWith("_test.ts")) return true;
      if (entry.isDirectory && await hasTests(`${folder}/${entry.name}`)) return true;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return false;
}

async function runProgram(
  program: string,
  args: readonly string[],
  guardMinutes: number,
  { signal, directory }: Run,
): Promise<boolean> {
  const child = new Deno.Command(program, {
    args: [...args],
    cwd: TOP,
    stdin: "null",
    env: { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", TMPDIR: directory, ...binary() },
  }).spawn();
  const kill = () => child.kill("SIGKILL");
  const guard = setTimeout(() => {
    console.error(`${program} hung for ${guardMinutes} minutes and is killed`);
    kill();
  }, guardMinutes * 60_000);
  signal.addEventListener("abort", kill);
  try {
    return (await child.status).success;
  } finally {
    clearTimeout(guard);
    signal.removeEventListener("abort", kill);
  }
}

/** Servers of the tests are the executable, once this run has built it; it unpacks in the checkout. */
let built = false;
function binary(): Record<string, string> {
  if (!built) return {};
  return { SAUROPOD_BINARY: `${TOP}dist/sauropod`, SAUROPOD_UNPACK_DIR: `${TOP}.cache/exec` };
}

/** Counts of a JUnit report as `deno test` writes it. */
export function tallyOf(junit: string): Tally {
  let passed = 0;
  const failed: string[] = [];
  const skipped: string[] = [];
  for (
    const match of junit.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)
  ) {
    const [, name = "", body = ""] = match;
    if (body.includes("<skipped")) skipped.push(plain(name));
    else if (body.includes("<failure") || body.includes("<error")) failed.push(plain(name));
    else passed++;
  }
  return { passed, failed, skipped };
}

function plain(text: string): string {
  return text.replaceAll("&quot;", '"').replaceAll("&apos;", "'").replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    console.error(
      `no such suite: ${unknown.join(", ")}; there are ${SUITES.map((s) => s.name).join(", ")}`,
    );
    return 2;
  }
  const interruption = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(name, () => interruption.abort());
  }
  let passed = 0;
  const failed: string[] = [];
  const skipped: string[] = [];
  for (const suite of SUITES) {
    if (!isWanted(suite, wanted)) continue;
    if (interruption.signal.aborted) break;
    console.log(`== ${suite.name}`);
    const startedMs = performance.now();
    // Short, because the paths of sockets are.
    const directory = await Deno.makeTempDir({ prefix: "srp-" });
    let tally: Tally;
    try {
      tally = await runSuite(suite, { signal: interruption.signal, directory });
    } finally {
      for (const thing of await sweep(directory)) console.log(`left behind: ${thing}`);
    }
    if (suite.name === "build") built = tally.failed.length === 0;
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
    console.log(
      `== ${suite.name}: ${tally.passed} passed, ${tally.failed.length} failed in ${seconds} s`,
    );
    passed += tally.passed;
    failed.push(...tally.failed);
    skipped.push(...tally.skipped);
  }
  for (const name of skipped) console.log(`skipped: ${name}`);
  for (const name of failed) console.log(`failed: ${name}`);
  if (interruption.signal.aborted) console.log("interrupted");
  if (skipped.length > 0) console.log(`${skipped.length} skipped`);
  console.log(`${passed} passed, ${failed.length} failed`);
  if (interruption.signal.aborted) return 130;
  return failed.length === 0 && passed > 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
