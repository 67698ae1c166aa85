/**
 * Runs the test suites one after the other and closes with one line: `N passed, N failed`.
 *
 * Usage: `deno run -A scripts/run_tests.ts [SUITE ...]`
 *
 * @module
 */

const TOP = new URL("../", import.meta.url).pathname;

interface Suite {
  readonly name: string;
  /** Folders of Deno tests. */
  readonly folders?: readonly string[];
  /** Or a command that passes or fails as one. */
  readonly command?: readonly string[];
  /** Ten times what the suite takes, so that a hang ends. */
  readonly guardMinutes: number;
}

const SUITES: readonly Suite[] = [
  { name: "check", command: ["scripts/check"], guardMinutes: 10 },
  { name: "unit", folders: ["src", "scripts"], guardMinutes: 20 },
  { name: "build", command: ["scripts/build"], guardMinutes: 15 },
  { name: "integration", folders: ["tests/integration"], guardMinutes: 30 },
  { name: "e2e", folders: ["tests/e2e"], guardMinutes: 30 },
  { name: "faults", folders: ["tests/faults"], guardMinutes: 40 },
  { name: "fuzz", folders: ["tests/fuzz"], guardMinutes: 10 },
];

interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly string[];
}

async function runSuite(suite: Suite): Promise<Tally> {
  if (suite.command !== undefined) {
    const [program = "", ...args] = suite.command;
    const ok = await run(`${TOP}${program}`, args, suite.guardMinutes);
    return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: [] };
  }
  const report = await Deno.makeTempFile({ prefix: "sauropod-junit-" });
  try {
    const folders = await existing(suite.folders ?? []);
    if (folders.length === 0) return { passed: 0, failed: 0, skipped: [] };
    const ok = await run(Deno.execPath(), [
      "test",
      "-A",
      "--no-check",
      "--quiet",
      `--junit-path=${report}`,
      ...folders,
    ], suite.guardMinutes);
    const tally = tallyOf(await Deno.readTextFile(report));
    // A crash, a leak outside a test or the guard fails the run although no test says so.
    return ok || tally.failed > 0 ? tally : { ...tally, failed: 1 };
  } finally {
    await Deno.remove(report);
  }
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

async function run(
  program: string,
  args: readonly string[],
  guardMinutes: number,
): Promise<boolean> {
  const child = new Deno.Command(program, {
    args: [...args],
    cwd: TOP,
    stdin: "null",
    env: { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
  }).spawn();
  const guard = setTimeout(() => {
    console.error(`${program} hung for ${guardMinutes} minutes and is killed`);
    child.kill("SIGKILL");
  }, guardMinutes * 60_000);
  const stop = () => child.kill("SIGTERM");
  Deno.addSignalListener("SIGINT", stop);
  Deno.addSignalListener("SIGTERM", stop);
  try {
    return (await child.status).success;
  } finally {
    clearTimeout(guard);
    Deno.removeSignalListener("SIGINT", stop);
    Deno.removeSignalListener("SIGTERM", stop);
  }
}

/** Counts of a JUnit report as `deno test` writes it. */
export function tallyOf(junit: string): Tally {
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  for (
    const match of junit.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)
  ) {
    const [, name = "", body = ""] = match;
    if (body.includes("<skipped")) skipped.push(name);
    else if (body.includes("<failure") || body.includes("<error")) failed++;
    else passed++;
  }
  return { passed, failed, skipped };
}

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    console.error(
      `no such suite: ${unknown.join(", ")}; there are ${SUITES.map((s) => s.name).join(", ")}`,
    );
    return 2;
  }
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  for (const suite of SUITES) {
    if (wanted.length > 0 && !wanted.includes(suite.name)) continue;
    console.log(`== ${suite.name}`);
    const startedMs = performance.now();
    const tally = await runSuite(suite);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
    console.log(`== ${suite.name}: ${tally.passed} passed, ${tally.failed} failed in ${seconds} s`);
    passed += tally.passed;
    failed += tally.failed;
    skipped.push(...tally.skipped);
  }
  for (const name of skipped) console.log(`skipped: ${name}`);
  console.log(
    `${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`,
  );
  return failed === 0 && passed > 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
