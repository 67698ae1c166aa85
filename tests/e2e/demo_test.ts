/** The demo, from the first line to the last and cut off in between: it shows a pod and leaves nothing. */
import assert from "node:assert/strict";

const TOP = new URL("../../", import.meta.url).pathname;

interface Run {
  readonly code: number;
  readonly text: string;
  /** The temporary folder that the demo said it uses; empty if it did not come so far. */
  readonly directory: string;
}

/** Runs the demo from another folder; `onText` sees all that it has printed so far. */
async function demo(onText: (text: string, child: Deno.ChildProcess) => void): Promise<Run> {
  const child = new Deno.Command(`${TOP}scripts/demo`, {
    cwd: "/",
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let text = "";
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      onText(text, child);
    }
  };
  const [{ code }] = await Promise.all([child.status, read(child.stdout), read(child.stderr)]);
  return { code, text, directory: /\/\S+\/sauropod-demo-\w+/.exec(text)?.[0] ?? "" };
}

/** What on this host has to do with a run of the demo; other tests may have things of their own. */
async function tracesOf({ directory, text }: Run): Promise<string[]> {
  assert.notEqual(directory, "", text);
  const found: string[] = [];
  if (await Deno.stat(directory).then(() => true, () => false)) found.push(directory);
  const mounts = await Deno.readTextFile("/proc/self/mountinfo");
  found.push(...mounts.split("\n").filter((line) => line.includes(directory)));
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    for (const file of ["cmdline", "mountinfo"]) {
      const content = await Deno.readTextFile(`/proc/${name}/${file}`).catch(() => "");
      if (content.includes(directory)) found.push(`process ${name}: ${content.slice(0, 200)}`);
    }
  }
  const bridges = await output("ip", "-o", "link", "show", "type", "bridge");
  found.push(...bridges.split("\n").filter((line) => line.includes("srpdemo")));
  const rules = [await output("iptables-save"), await output("nft", "list", "ruleset")].join("\n");
  found.push(...rules.split("\n").filter((line) => /srpdemo|192\.0\.2\./.test(line)));
  for (const [, id] of text.matchAll(/^default\/hello ([0-9a-f]{13})/gm)) {
    found.push(...cgroupsNamed(id!));
  }
  return found;
}

function cgroupsNamed(id: string): string[] {
  const found: string[] = [];
  for (const hierarchy of Deno.readDirSync("/sys/fs/cgroup")) {
    try {
      const below = `/sys/fs/cgroup/${hierarchy.name}/sauropod`;
      for (const { name } of Deno.readDirSync(below)) {
        if (name.includes(id)) found.push(`${below}/${name}`);
      }
    } catch {
      // No such folder in this hierarchy.
    }
  }
  return found;
}

async function output(program: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
    return new TextDecoder().decode(stdout);
  } catch {
    // What is not installed has no rules.
    return "";
  }
}

Deno.test("the demo shows a pod, its log, its address and a command inside, and leaves nothing", async () => {
  const run = await demo(() => {});
  assert.equal(run.code, 0, run.text);
  assert.match(run.text, /^default\/hello [0-9a-f]{13} 192\.0\.2\.\d+$/m);
  assert.match(run.text, /^Hello, world, from pod hello$/m);
  assert.match(run.text, /inet 192\.0\.2\.\d+\/24/);
  assert.match(run.text, /nothing is left on this machine/);
  assert.deepEqual(await tracesOf(run), []);
});

for (
  const moment of ["the server,", "$ sauropod load", "$ sauropod play examples", "$ sauropod exec"]
) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.test(`the demo cut off by ${signal} at "${moment}" leaves nothing`, async () => {
      let sent = false;
      const run = await demo((text, child) => {
        if (sent || !text.includes(moment)) return;
        sent = true;
        child.kill(signal);
      });
      assert.ok(sent, run.text);
      assert.equal(run.code, 130, run.text);
      assert.deepEqual(await tracesOf(run), []);
    });
  }
}

Deno.test("the demo leaves nothing although its server is killed under it", async () => {
  let killed = false;
  const run = await demo((text) => {
    if (killed || !text.includes("$ sauropod ps")) return;
    killed = true;
    const directory = /\/\S+\/sauropod-demo-\w+/.exec(text)?.[0] ?? "";
    for (const { name } of Deno.readDirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      try {
        const line = Deno.readTextFileSync(`/proc/${name}/cmdline`);
        if (line.includes(`serve\0--config\0${directory}/`)) Deno.kill(Number(name), "SIGKILL");
      } catch {
        // It has ended meanwhile.
      }
    }
  });
  assert.ok(killed, run.text);
  assert.equal(run.code, 1, run.text);
  assert.deepEqual(await tracesOf(run), []);
});
