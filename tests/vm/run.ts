/**
 * `deno task test:vm`: builds the executable, boots the machine with it, shows what the tests inside
 * say, and fails with them.
 *
 * @module
 */
import { busyboxImage, dockerArchive } from "../integration/test_images.ts";
import { boot, machineBase, makeDisk } from "./machine.ts";

const TOP = new URL("../../", import.meta.url).pathname;
const CACHE = `${
  Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`
}/sauropod-dev/vm`;
const IMAGE = "localhost/test/busybox:1";
const PAYLOAD_MIB = 600;
const MEMORY_MIB = 2_048;
/** It takes five minutes on two processors that nobody else uses. */
const TIMEOUT_MS = 50 * 60_000;

const stop = new AbortController();
const interrupt = () => stop.abort(new Error("interrupted"));
Deno.addSignalListener("SIGINT", interrupt);
Deno.addSignalListener("SIGTERM", interrupt);

const directory = await Deno.makeTempDir({ prefix: "sauropod-vm-" });
let failed = true;
try {
  const base = await machineBase(CACHE, say);
  await makePayload(`${directory}/payload`);
  await makeDisk(`${directory}/disk`, `${directory}/payload`, PAYLOAD_MIB);
  say("booting");
  const watching = new AbortController();
  const shown = showOutput(`${directory}/output`, watching.signal);
  try {
    await boot({
      base,
      payload: `${directory}/disk`,
      logs: directory,
      memoryMib: MEMORY_MIB,
      timeoutMs: TIMEOUT_MS,
      signal: stop.signal,
    });
  } finally {
    watching.abort();
    await shown;
  }
  const output = await Deno.readTextFile(`${directory}/output`);
  failed = !/^[1-9]\d* passed, 0 failed\r?$/m.test(output);
  if (!/^\d+ passed, \d+ failed\r?$/m.test(output)) say("the tests did not come to their end");
} catch (error) {
  say(`failed: ${error instanceof Error ? error.message : error}`);
} finally {
  if (failed) {
    const console = await Deno.readTextFile(`${directory}/console`).catch(() => "");
    say(`the end of the machine's console:\n${console.split("\n").slice(-20).join("\n")}`);
  }
  await Deno.remove(directory, { recursive: true });
}
Deno.exit(failed ? 1 : 0);

function say(text: string): void {
  console.log(`== ${text}`);
}

/** What the machine finds on its second disk. */
async function makePayload(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  const given = Deno.env.get("SAUROPOD_BINARY") ?? "";
  if (given === "") await deno(["run", "--quiet", "-A", "scripts/build.ts", "--self-extracting"]);
  await Deno.copyFile(given || `${TOP}dist/sauropod`, `${folder}/sauropod`);
  await Deno.copyFile(Deno.execPath(), `${folder}/deno`);
  await deno([
    "bundle",
    "--quiet",
    "--platform",
    "deno",
    "-o",
    `${folder}/guest.js`,
    "tests/vm/guest.ts",
  ]);
  const packaging = ["sauropod.service", "10-sauropod.conflist"];
  for (const name of packaging) await Deno.copyFile(`${TOP}packaging/${name}`, `${folder}/${name}`);
  const image = busyboxImage({ compression: "none" });
  await Deno.writeFile(`${folder}/busybox.tar`, dockerArchive([{ image, tags: [IMAGE] }]));
  await Deno.writeTextFile(
    `${folder}/run`,
    `#!/bin/sh\nexport HOME=/root NO_COLOR=1\nexec /payload/deno run --quiet -A --no-config --no-remote /payload/guest.js ${IMAGE} '${wanted()}'\n`,
  );
  for (const name of ["run", "deno", "sauropod"]) await Deno.chmod(`${folder}/${name}`, 0o755);
}

/** `scripts/vm REGEXP`: only tests whose names match, and those that all the others need. */
function wanted(): string {
  const [given = ""] = Deno.args;
  if (given.includes("'")) throw new Error("the expression cannot contain a quote");
  return given === "" ? "" : `${given}|^the unit counts|RuntimeConfig tells`;
}

async function deno(args: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd: TOP })
    .spawn().status;
  if (!success) throw new Error(`deno ${args.join(" ")} failed`);
}

/** Copies the serial line to the screen while it grows. */
async function showOutput(path: string, ended: AbortSignal): Promise<void> {
  const decoder = new TextDecoder();
  let at = 0;
  for (let last = false; !last;) {
    last = ended.aborted;
    const bytes = await Deno.readFile(path).catch(() => new Uint8Array());
    const text = decoder.decode(bytes.subarray(at), { stream: true }).replaceAll("\r", "");
    at = bytes.length;
    if (text !== "") await Deno.stdout.write(new TextEncoder().encode(text));
    if (!last) await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
