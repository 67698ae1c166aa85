import assert from "node:assert/strict";
import {
  CancelledError,
  DeadlineExceededError,
  NotFoundError,
  PermissionDeniedError,
} from "../errors/mod.ts";
import { NodeProcessRunner } from "./child_process.ts";
import { createLinuxKernel } from "./linux.ts";
import type { Command } from "./process_runner.ts";
import { sealDescriptors } from "./seal_descriptors.ts";

const runner = new NodeProcessRunner();
sealDescriptors(createLinuxKernel());

function sh(script: string, more: Partial<Command> = {}): Command {
  return {
    path: "/bin/sh",
    args: ["-c", script],
    env: { PATH: "/usr/bin:/bin" },
    timeoutMs: 20_000,
    outputLimitBytes: 65_536,
    ...more,
  };
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const encoded = (value: string) => new TextEncoder().encode(value);

Deno.test("run() gives exit code, both streams and standard input", async () => {
  const result = await runner.run(sh("cat; echo oops >&2; exit 3", { stdin: encoded("hello") }));
  assert.equal(result.exitCode, 3);
  assert.equal(result.endedBy, null);
  assert.equal(text(result.stdout), "hello");
  assert.equal(text(result.stderr), "oops\n");
  assert.equal(result.truncated, false);
});

Deno.test("run() names the signal that ended a program", async () => {
  const result = await runner.run(sh("kill -TERM $$"));
  assert.equal(result.exitCode, null);
  assert.equal(result.endedBy, "SIGTERM");
});

Deno.test("the environment of a child is exactly the one given", async () => {
  Deno.env.set("SAUROPOD_TEST_SECRET", "x");
  const { stdout } = await runner.run({
    ...sh(""),
    path: "/bin/cat",
    args: ["/proc/self/environ"],
    env: { A: "1", B: "two words" },
  });
  assert.deepEqual(text(stdout).split("\0").filter(Boolean).sort(), ["A=1", "B=two words"]);
});

Deno.test("output over the limit is dropped without blocking the program", async () => {
  const result = await runner.run(
    sh("head -c 3000000 /dev/zero; echo end >&2", { outputLimitBytes: 1000 }),
  );
  assert.equal(result.exitCode, 0);
  assert.equal(result.stdout.length, 1000);
  assert.equal(result.truncated, true);
  assert.equal(text(result.stderr), "end\n");
});

Deno.test("a background child that holds the pipes does not delay the result", async () => {
  const started = performance.now();
  const { stdout } = await runner.run(sh("sleep 30 & echo $!"));
  assert.ok(performance.now() - started < 10_000);
  Deno.kill(Number(text(stdout).trim()), "SIGKILL");
});

Deno.test("at the deadline the whole process group is killed", async () => {
  const marker = await Deno.makeTempFile();
  const script = `sleep 31 & echo $! > ${marker}; echo $$ >> ${marker}; wait`;
  await assert.rejects(runner.run(sh(script, { timeoutMs: 300 })), DeadlineExceededError);
  const pids = (await Deno.readTextFile(marker)).trim().split("\n").map(Number);
  assert.equal(pids.length, 2);
  for (const pid of pids) await gone(pid);
  await Deno.remove(marker);
});

Deno.test("an abort signal kills the program", async () => {
  const controller = new AbortController();
  const running = runner.run(sh("sleep 32", { signal: controller.signal }));
  controller.abort();
  await assert.rejects(running, CancelledError);
  await assert.rejects(runner.run(sh("true", { signal: controller.signal })), CancelledError);
});

Deno.test("a missing program, a missing directory and a file that is no program are told apart", async () => {
  const missing = { ...sh(""), path: "/no/such/program" };
  await assert.rejects(runner.run(missing), NotFoundError);
  await assert.rejects(runner.run(sh("true", { cwd: "/no/such/dir" })), /no directory/);
  await assert.rejects(runner.run({ ...sh(""), path: "/etc/passwd" }), PermissionDeniedError);
  assert.throws(() => runner.spawn({ ...missing, stdio: ["null"] }), NotFoundError);
});

Deno.test("a child has the descriptors named for it and no others", async () => {
  const kernel = createLinuxKernel();
  using leaky = kernel.open("/etc/hostname", 0);
  assert.ok(leaky.number > 2);
  const { stdout } = await runner.run({ ...sh(""), path: "/bin/ls", args: ["/proc/self/fd"] });
  // The fourth is ls reading the directory itself.
  assert.deepEqual(text(stdout).trim().split("\n"), ["0", "1", "2", "3"]);
});

Deno.test("a descriptor inherited from our own parent reaches no child once sealed", async () => {
  const url = new URL("./testdata/list_child_descriptors.ts", import.meta.url);
  const script = `exec 7</etc/hostname 8</etc/hostname; exec "$0" run -A --quiet "$1"`;
  const { stdout } = await new Deno.Command("/bin/sh", {
    args: ["-c", script, Deno.execPath(), url.pathname],
  }).output();
  assert.deepEqual(JSON.parse(text(stdout)), {
    before: ["0", "1", "2", "3", "7", "8"],
    after: ["0", "1", "2", "3"],
  });
});

Deno.test("spawn() hands over descriptors by position and nothing else", async () => {
  const kernel = createLinuxKernel();
  const { read, write } = kernel.pipe2(0);
  using _read = read;
  const child = runner.spawn({
    path: "/bin/sleep",
    args: ["33"],
    env: {},
    stdio: ["null", "null", "null", "null", read.number],
  });
  try {
    const names = [...Deno.readDirSync(`/proc/${child.pid}/fd`)].map((entry) => entry.name).sort();
    assert.deepEqual(names, ["0", "1", "2", "3", "4"]);
    assert.equal(
      Deno.readLinkSync(`/proc/${child.pid}/fd/4`),
      Deno.readLinkSync(`/proc/self/fd/${read.number}`),
    );
    assert.equal(read.closed, false);
  } finally {
    write.close();
    Deno.kill(child.pid, "SIGKILL");
  }
  assert.deepEqual(await child.ended, { exitCode: null, endedBy: "SIGKILL" });
});

async function gone(pid: number): Promise<void> {
  for (let i = 0; i < 100; i++) {
    try {
      const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
      if (stat.includes(") Z ")) return;
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`process ${pid} is still there`);
}
