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
import { PosixSpawner } from "./posix_spawn.ts";
import { sealDescriptors } from "./seal_descriptors.ts";

sealDescriptors(createLinuxKernel());

const SIGPIPE = 13;

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

type Test = (name: string, act: () => Promise<void>) => void;

testRunner((name, act) => Deno.test(`${name} (node)`, act), () => ({
  runner: new NodeProcessRunner(),
  [Symbol.dispose]: () => {},
}));

testRunner((name, act) => Deno.test(`${name} (posix_spawn)`, act), () => {
  const spawner = new PosixSpawner(createLinuxKernel());
  return {
    runner: new NodeProcessRunner(spawner),
    [Symbol.dispose]: () => spawner[Symbol.dispose](),
  };
});

/** What every way of starting programs must do. */
function testRunner(
  define: Test,
  make: () => { readonly runner: NodeProcessRunner } & Disposable,
): void {
  const test = (name: string, act: (runner: NodeProcessRunner) => Promise<void>): void =>
    define(name, async () => {
      using made = make();
      await act(made.runner);
    });

  test("run() gives exit code, both streams and standard input", async (runner) => {
    const result = await runner.run(sh("cat; echo oops >&2; exit 3", { stdin: encoded("hello") }));
    assert.equal(result.exitCode, 3);
    assert.equal(result.endedBy, null);
    assert.equal(text(result.stdout), "hello");
    assert.equal(text(result.stderr), "oops\n");
    assert.equal(result.truncated, false);
  });

  test("a program that reads late gets all of its input", async (runner) => {
    const stdin = crypto.getRandomValues(new Uint8Array(65_536));
    const large = new Uint8Array(4 * 1024 * 1024);
    for (let at = 0; at < large.length; at += stdin.length) large.set(stdin, at);
    // The pipe is full before the first byte is read.
    const script = "sleep 0.3; sha256sum";
    const results = await Promise.all(
      Array.from({ length: 4 }, () => runner.run(sh(script, { stdin: large }))),
    );
    const wanted = new Uint8Array(await crypto.subtle.digest("SHA-256", large)).toHex();
    for (const { stdout } of results) assert.equal(text(stdout), `${wanted}  -\n`);
  });

  test("a program that does not read its input ends as it likes, and leaves no pipe", async (runner) => {
    const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
    const stdin = new Uint8Array(1024 * 1024);
    const children: number[] = [];
    const round = async () => {
      assert.equal((await runner.run(sh("exit 4", { stdin }))).exitCode, 4);
      // Its child keeps the reading end open and never reads.
      const { stdout } = await runner.run(sh("exec 3<&0; sleep 35 & echo $!", { stdin }));
      children.push(Number(text(stdout).trim()));
    };
    await round();
    const before = descriptors();
    for (let count = 0; count < 4; count++) await round();
    // Streams of Node are closed in a later turn.
    for (let turn = 0; turn < 1_000 && descriptors() > before; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const after = descriptors();
    for (const pid of children) Deno.kill(pid, "SIGKILL");
    assert.ok(after <= before, `${after} descriptors, ${before} before`);
  });

  test("run() names the signal that ended a program", async (runner) => {
    const result = await runner.run(sh("kill -TERM $$"));
    assert.equal(result.exitCode, null);
    assert.equal(result.endedBy, "SIGTERM");
  });

  test("the environment of a child is exactly the one given", async (runner) => {
    Deno.env.set("SAUROPOD_TEST_SECRET", "x");
    const { stdout } = await runner.run({
      ...sh(""),
      path: "/bin/cat",
      args: ["/proc/self/environ"],
      env: { A: "1", B: "two words" },
    });
    assert.deepEqual(text(stdout).split("\0").filter(Boolean).sort(), ["A=1", "B=two words"]);
  });

  test("output over the limit is dropped without blocking the program", async (runner) => {
    const result = await runner.run(
      sh("head -c 3000000 /dev/zero; echo end >&2", { outputLimitBytes: 1000 }),
    );
    assert.equal(result.exitCode, 0);
    assert.equal(result.stdout.length, 1000);
    assert.equal(result.truncated, true);
    assert.equal(text(result.stderr), "end\n");
  });

  test("a background child that holds the pipes does not delay the result", async (runner) => {
    const started = performance.now();
    const { stdout } = await runner.run(sh("sleep 30 & echo $!"));
    assert.ok(performance.now() - started < 10_000);
    Deno.kill(Number(text(stdout).trim()), "SIGKILL");
  });

  test("at the deadline the whole process group is killed", async (runner) => {
    const marker = await Deno.makeTempFile();
    const script = `sleep 31 & echo $! > ${marker}; echo $$ >> ${marker}; wait`;
    await assert.rejects(runner.run(sh(script, { timeoutMs: 300 })), DeadlineExceededError);
    const pids = (await Deno.readTextFile(marker)).trim().split("\n").map(Number);
    assert.equal(pids.length, 2);
    for (const pid of pids) await gone(pid);
    await Deno.remove(marker);
  });

  test("an abort signal kills the program", async (runner) => {
    const controller = new AbortController();
    const running = runner.run(sh("sleep 32", { signal: controller.signal }));
    controller.abort();
    await assert.rejects(running, CancelledError);
    await assert.rejects(runner.run(sh("true", { signal: controller.signal })), CancelledError);
  });

  test("a missing program, a missing directory and a file that is no program are told apart", async (runner) => {
    const missing = { ...sh(""), path: "/no/such/program" };
    await assert.rejects(runner.run(missing), NotFoundError);
    await assert.rejects(runner.run(sh("true", { cwd: "/no/such/dir" })), /no directory/);
    await assert.rejects(runner.run({ ...sh(""), path: "/etc/passwd" }), PermissionDeniedError);
    assert.throws(() => runner.spawn({ ...missing, stdio: ["null"] }), NotFoundError);
  });

  test("a child has the descriptors named for it and no others", async (runner) => {
    const kernel = createLinuxKernel();
    using leaky = kernel.open("/etc/hostname", 0);
    assert.ok(leaky.number > 2);
    const { stdout } = await runner.run({ ...sh(""), path: "/bin/ls", args: ["/proc/self/fd"] });
    // The fourth is ls reading the directory itself.
    assert.deepEqual(text(stdout).trim().split("\n"), ["0", "1", "2", "3"]);
  });

  test("spawn() hands over descriptors by position and nothing else", async (runner) => {
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
      const descriptors = () =>
        [...Deno.readDirSync(`/proc/${child.pid}/fd`)].map(({ name }) => name).sort();
      const wanted = ["0", "1", "2", "3", "4"];
      // The kernel lets a parent go on a moment before it closes what is close-on-exec, and then the
      // program's loader opens libraries.
      let names = descriptors();
      for (let i = 0; i < 200 && names.join() !== wanted.join(); i++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        names = descriptors();
      }
      assert.deepEqual(names, wanted);
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

  test("a child hears of a pipe that nobody reads, as this process does not", async (runner) => {
    const { stdout } = await runner.run(sh("grep SigIgn /proc/self/status"));
    for (
      const [status, isIgnored] of [
        [await Deno.readTextFile("/proc/self/status"), true],
        [text(stdout), false],
      ] as const
    ) {
      const ignored = BigInt(`0x${/SigIgn:\s+([0-9a-f]+)/.exec(status)?.[1]}`);
      assert.equal((ignored >> BigInt(SIGPIPE - 1) & 1n) === 1n, isIgnored);
    }
  });
}

Deno.test("PosixSpawner gives descriptors whose numbers are taken by others in the child", async () => {
  const kernel = createLinuxKernel();
  using spawner = new PosixSpawner(kernel);
  const runner = new NodeProcessRunner(spawner);
  using a = kernel.open("/etc/hostname", 0);
  using b = kernel.open("/etc/passwd", 0);
  using c = kernel.open("/etc/group", 0);
  // Higher numbers first, so that a copy in order would overwrite the later ones.
  const files = [c, b, a].sort((one, other) => other.number - one.number);
  const padding = Array<"null">(files[0]!.number - 2).fill("null");
  const stdio = ["null" as const, ...padding, ...files.map(({ number }) => number)];
  const child = runner.spawn({ path: "/bin/sleep", args: ["34"], env: {}, stdio });
  try {
    const target = (pid: number | "self", fd: number) => Deno.readLinkSync(`/proc/${pid}/fd/${fd}`);
    files.forEach(({ number }, index) =>
      assert.equal(target(child.pid, stdio.length - 3 + index), target("self", number))
    );
  } finally {
    Deno.kill(child.pid, "SIGKILL");
  }
  await child.ended;
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

Deno.test("PosixSpawner gives a child no descriptor that somebody opened without close-on-exec", async () => {
  const kernel = createLinuxKernel();
  using spawner = new PosixSpawner(kernel);
  const runner = new NodeProcessRunner(spawner);
  using leaky = kernel.open("/etc/hostname", 0);
  kernel.setCloexec(leaky.number, false);
  const { stdout } = await runner.run(sh("ls -l /proc/self/fd"));
  assert.doesNotMatch(text(stdout), /hostname/);
});
