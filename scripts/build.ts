/**
 * Writes `dist/sauropod`: bundles the program and its workers, then makes one executable file, with
 * `deno compile` where its base binary can be had, else as a file that unpacks itself.
 *
 * Usage: `scripts/build [--self-extracting | --compiled] [--entry FILE] [--output FILE]`
 *
 * @module
 */
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    "self-extracting": { type: "boolean" },
    compiled: { type: "boolean" },
    entry: { type: "string", default: "main.ts" },
    output: { type: "string", default: "dist/sauropod" },
  },
});

const CACHE = ".cache/build";
/** Of this build alone: two may run at once. */
const BUNDLE = `${CACHE}/bundle-${Deno.pid}`;

/** Small young generation, bounded old one: what the server keeps is in SQLite, not on the heap. */
const V8_FLAGS = "--max-semi-space-size=2,--max-old-space-size=256";

const RUN_FLAGS = ["--allow-all", "--unstable-ffi", `--v8-flags=${V8_FLAGS}`];

/** Nothing is fetched and no file of the current directory changes what the program does. */
const CLOSED_FLAGS = ["--no-config", "--no-lock", "--no-remote", "--no-npm", "--no-prompt"];

const COMPILE_TIMEOUT_MS = 180_000;

async function build(): Promise<void> {
  await Deno.mkdir(values.output.replace(/\/?[^/]*$/, "") || ".", { recursive: true });
  await bundle(values.entry, await workers());
  if (values["self-extracting"] !== true && await compile(values.output)) {
    say("compiled", values.output);
    return;
  }
  if (values.compiled === true) throw new Error("deno compile failed");
  await packSelfExtracting(values.output);
  say("self-extracting", values.output);
}

function say(kind: string, path: string): void {
  const size = (Deno.statSync(path).size / 1e6).toFixed(0);
  console.log(`${path}: ${kind}, ${size} MB, Deno ${Deno.version.deno}`);
}

/** Sources of worker threads; they lie beside the bundle under their base names, which are unique. */
async function workers(): Promise<string[]> {
  const found: string[] = [];
  const walk = async (directory: string): Promise<void> => {
    for await (const entry of Deno.readDir(directory)) {
      const path = `${directory}/${entry.name}`;
      if (entry.isDirectory && entry.name !== "testdata") await walk(path);
      else if (entry.name.endsWith("_worker.ts")) found.push(path);
    }
  };
  await walk("src");
  const names = found.map(baseName);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`Two workers are named ${twice}`);
  return found.sort();
}

async function bundle(entry: string, workers: readonly string[]): Promise<void> {
  await Deno.mkdir(BUNDLE, { recursive: true });
  const sources: readonly (readonly [source: string, name: string])[] = [
    [entry, "main.js"],
    ...workers.map((path) => [path, baseName(path).replace(/\.ts$/, ".js")] as const),
  ];
  for (const [source, name] of sources) {
    await run(Deno.execPath(), [
      "bundle",
      "--quiet",
      "--platform",
      "deno",
      "--output",
      `${BUNDLE}/${name}`,
      source,
    ]);
  }
}

/** False if the base binary is not to be had. */
async function compile(output: string): Promise<boolean> {
  const included = [...Deno.readDirSync(BUNDLE)]
    .filter(({ name }) => name !== "main.js")
    .flatMap(({ name }) => ["--include", `${BUNDLE}/${name}`]);
  const temporary = `${output}.new`;
  await Deno.remove(temporary).catch(() => {});
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      ...RUN_FLAGS,
      "--no-config",
      ...included,
      `--output=${temporary}`,
      `${BUNDLE}/main.js`,
    ],
    stdout: "null",
    stderr: "piped",
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(COMPILE_TIMEOUT_MS),
  });
  const { success, stderr } = await command.output();
  if (!success) {
    const lines = new TextDecoder().decode(stderr).trim().split("\n");
    const reason = lines.find((line) => /^\s+1: /.test(line)) ?? lines.at(-1) ?? "";
    console.log(`deno compile is not possible here: ${reason.replace(/^\s*1: /, "")}`);
    return false;
  }
  await Deno.rename(temporary, output);
  return true;
}

/** The launcher, then Deno (gzip), then the bundle (gzip of tar). */
async function packSelfExtracting(output: string): Promise<void> {
  const runtime = await compressedRuntime();
  const bundled = await packedBundle();
  const digest = await sha256(runtime, bundled);
  const template = await Deno.readTextFile("scripts/launcher.sh");
  const { version } = JSON.parse(await Deno.readTextFile("deno.json")) as { version: string };
  let head = "";
  // The offsets are in the head, so its length depends on their digits: a second round settles it.
  for (let length = template.length; head.length !== length;) {
    length = head.length || length;
    head = filled(template, {
      VERSION: version,
      DIGEST: digest.slice(0, 32),
      PAYLOAD: String(length),
      RUNTIME_AT: String(length + 1),
      RUNTIME_LENGTH: String(runtime.length),
      BUNDLE_AT: String(length + runtime.length + 1),
      DENO_FLAGS: [...RUN_FLAGS, ...CLOSED_FLAGS].join(" "),
    });
  }
  const temporary = `${output}.new`;
  using file = await Deno.open(temporary, {
    write: true,
    create: true,
    truncate: true,
    mode: 0o755,
  });
  for (const part of [new TextEncoder().encode(head), runtime, bundled]) {
    let rest = part;
    while (rest.length > 0) rest = rest.subarray(await file.write(rest));
  }
  await Deno.chmod(temporary, 0o755);
  await Deno.rename(temporary, output);
}

function filled(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/@([A-Z_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`The launcher asks for ${name}`);
    return value;
  });
}

/** Kept between builds: it takes seven seconds and changes with Deno only. */
async function compressedRuntime(): Promise<Uint8Array<ArrayBuffer>> {
  const path = `${CACHE}/deno-${Deno.version.deno}-${Deno.build.target}.gz`;
  const cached = await Deno.readFile(path).catch(() => undefined);
  if (cached !== undefined) return cached;
  const { stdout } = await run("gzip", ["-n", "-6", "-c", Deno.execPath()], "piped");
  const temporary = `${path}.${Deno.pid}`;
  await Deno.writeFile(temporary, stdout);
  await Deno.rename(temporary, path);
  return stdout;
}

/** Of the same bytes for the same sources. */
async function packedBundle(): Promise<Uint8Array<ArrayBuffer>> {
  const tar = `${BUNDLE}.tar`;
  await run("tar", [
    "--create",
    `--file=${tar}`,
    `--directory=${BUNDLE}`,
    "--sort=name",
    "--mtime=@0",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mode=u=rw,go=",
    ...[...Deno.readDirSync(BUNDLE)].map(({ name }) => name).sort(),
  ]);
  const { stdout } = await run("gzip", ["-n", "-9", "-c", tar], "piped");
  return stdout;
}

async function sha256(...parts: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  const all = new Uint8Array(await new Blob([...parts]).arrayBuffer());
  return new Uint8Array(await crypto.subtle.digest("SHA-256", all)).toHex();
}

async function run(
  program: string,
  args: readonly string[],
  stdout: "null" | "piped" = "null",
): Promise<{ stdout: Uint8Array<ArrayBuffer> }> {
  const output = await new Deno.Command(program, {
    args: [...args],
    stdout,
    stderr: "inherit",
  }).output();
  if (!output.success) throw new Error(`${program} ${args[0]} failed with status ${output.code}`);
  return { stdout: stdout === "piped" ? output.stdout : new Uint8Array() };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

try {
  await build();
} finally {
  for (const path of [BUNDLE, `${BUNDLE}.tar`]) {
    await Deno.remove(path, { recursive: true }).catch(() => {});
  }
}
