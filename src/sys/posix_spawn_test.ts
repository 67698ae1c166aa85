import assert from "node:assert/strict";
import { SyscallError } from "../errors/mod.ts";
import { errnoNumber } from "./errno.ts";
import { createLinuxKernel } from "./linux.ts";
import { PosixSpawner } from "./posix_spawn.ts";
import { ProcTable } from "./process_table.ts";

/** A program in `testdata/`, begun by a shell that has run `before`. */
async function run(name: string, before = ":"): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("/bin/sh", {
    args: ["-c", `${before}; exec "$0" run -A --no-check "$1"`, Deno.execPath(), fileOf(name)],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

const fileOf = (name: string) => `${import.meta.dirname}/testdata/${name}`;

Deno.test("orphans come to a spawner that reaps them, with their exit codes", async () => {
  const [asked, rest] = (await run("reap_orphans.ts")).split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(asked.early, { exitCode: 3, endedBy: null });
  assert.deepEqual(asked.late, { exitCode: null, endedBy: "SIGKILL" });
  assert.match(asked.stranger, /Process 1 did not come to this one/);
  assert.match(asked.taken, /did not come to this one/, "its end was taken");
  assert.deepEqual(rest, { ending: { exitCode: 7, endedBy: null }, zombies: [] });
});

Deno.test("signals that were ignored when this process began are not ignored in a child", async () => {
  // As a shell does for what it starts in the background, and nohup.
  const ignored = BigInt(`0x${await run("ignored_by_child.ts", "trap '' HUP INT QUIT TERM USR1")}`);
  // libc keeps the signals 32 and 33 for itself: nobody can set them, and whoever ignored them
  // before is inherited.
  assert.equal(ignored & ~(0b11n << 31n), 0n);
});

Deno.test("a program that cannot be watched is ended, and reaped", async () => {
  const kernel = createLinuxKernel();
  let pid = 0;
  using spawner = new PosixSpawner({
    ...kernel,
    pidfdOpen: (of) => {
      pid = of;
      throw new SyscallError("pidfd_open", errnoNumber("EMFILE"), "EMFILE", `process ${of}`);
    },
  });
  const start = () =>
    spawner.start({
      path: "/bin/sleep",
      args: ["600"],
      env: {},
      stdio: ["pipe", "pipe", "ignore"],
      detached: false,
    });
  assert.throws(start, { code: "EMFILE" });
  const processes = new ProcTable(kernel);
  for (const end = performance.now() + 60_000; processes.stat(pid) !== undefined;) {
    assert.ok(performance.now() < end, `process ${pid} is still there`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});
