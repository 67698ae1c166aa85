import assert from "node:assert/strict";
import { SyscallError } from "../errors/mod.ts";
import { errnoNumber } from "./errno.ts";
import type { Kernel } from "./kernel.ts";
import { createLinuxKernel } from "./linux.ts";
import { parseProcessStat, ProcTable } from "./process_table.ts";
import { PidfdWatcher } from "./process_watcher.ts";

const kernel = createLinuxKernel();
const table = new ProcTable(kernel);

function sleeper(seconds = "60"): Deno.ChildProcess {
  return new Deno.Command("/bin/sleep", { args: [seconds] }).spawn();
}

function identity(pid: number) {
  const found = table.identify(pid);
  assert.ok(found !== undefined);
  return found;
}

Deno.test("a command name with parentheses and spaces does not shift the fields", () => {
  const tail = ["S", "7", "8", "9", ...Array(15).fill("0"), "4711", "0"].join(" ");
  const stat = parseProcessStat(`42 (a) Z (b) ${tail}`);
  assert.deepEqual(stat, {
    state: "S",
    parent: 7,
    processGroup: 8,
    session: 9,
    startTime: "4711",
  });
  assert.equal(parseProcessStat("nonsense"), undefined);
});

Deno.test("identify() knows a living process, not a missing one and no zombie", async () => {
  const child = sleeper();
  const found = identity(child.pid);
  assert.equal(found.bootId, table.bootId);
  assert.ok(table.isAlive(found));
  // Reaping happens on the event loop: until then the child is a zombie.
  Deno.kill(child.pid, "SIGKILL");
  const until = Date.now() + 5000;
  while (table.stat(child.pid)?.state !== "Z" && Date.now() < until);
  assert.equal(table.identify(child.pid), undefined);
  assert.equal(table.isAlive(found), false);
  await child.status;
  assert.equal(table.identify(2 ** 22 + 1), undefined);
  assert.equal(table.identify(-1), undefined);
});

Deno.test("signal() never reaches a process of another start time or boot", async () => {
  const child = sleeper();
  const found = identity(child.pid);
  assert.equal(table.signal({ ...found, startTime: "1" }, 9), false);
  assert.equal(table.signal({ ...found, bootId: "another" }, 9), false);
  assert.ok(table.isAlive(found));
  assert.equal(table.signal(found, 9), true);
  assert.equal((await child.status).signal, "SIGKILL");
  assert.equal(table.signal(found, 9), false);
});

Deno.test("a process that cannot be looked at is not taken for ended", async () => {
  const child = sleeper();
  const found = identity(child.pid);
  let left = 0;
  const full = () => new SyscallError("open", errnoNumber("EMFILE"), "EMFILE", "a file");
  const crowded: Kernel = {
    ...kernel,
    open: (...args) => {
      if (left-- <= 0) throw full();
      return kernel.open(...args);
    },
  };
  const blind = new ProcTable(crowded);
  const isFull = { code: "EMFILE", kind: "resource_exhausted" };
  assert.throws(() => blind.identify(child.pid), isFull);
  assert.throws(() => blind.isAlive(found), isFull);
  assert.throws(() => blind.signal(found, 9), isFull);
  assert.throws(() => blind.heeds(found, 15), isFull);
  using watcher = new PidfdWatcher({ kernel: crowded, processes: blind });
  const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = descriptors();
  for (const looks of [0, 1]) {
    left = looks;
    assert.throws(() => watcher.watchExit(found, () => assert.fail("told as ended")), isFull);
  }
  assert.equal(descriptors(), before);
  child.kill("SIGKILL");
  await child.status;
  assert.equal(blind.isAlive({ ...found, bootId: "another" }), false);
  left = 1;
  assert.equal(blind.isAlive(found), false);
});

for (const method of ["aio", "thread"] as const) {
  const watcherFor = () => new PidfdWatcher({ kernel, processes: table, method });

  Deno.test(`watchExit() (${method}) tells of each of 60 exits once`, async () => {
    using watcher = watcherFor();
    const children = Array.from({ length: 60 }, () => sleeper());
    let exits = 0;
    const all = Promise.withResolvers<void>();
    for (const child of children) {
      watcher.watchExit(identity(child.pid), () => {
        if (++exits === children.length) all.resolve();
      });
    }
    for (const child of children) child.kill("SIGKILL");
    await all.promise;
    await Promise.all(children.map((child) => child.status));
    assert.equal(exits, 60);
  });

  Deno.test(`watchExit() (${method}) calls back at once for a process that is not the one meant`, async () => {
    using watcher = watcherFor();
    const child = sleeper();
    const found = identity(child.pid);
    let told = 0;
    await new Promise<void>((resolve) => {
      watcher.watchExit({ ...found, startTime: "1" }, () => resolve(void told++));
      assert.equal(told, 0, "not before watchExit returned");
    });
    await new Promise<void>((resolve) => {
      watcher.watchExit({ ...found, bootId: "another" }, () => resolve());
    });
    child.kill("SIGKILL");
    await child.status;
    await new Promise<void>((resolve) => void watcher.watchExit(found, resolve));
  });

  Deno.test(`a disposed watch (${method}) stays silent, a second one of the same process does not`, async () => {
    using watcher = watcherFor();
    const child = sleeper();
    const found = identity(child.pid);
    const first = watcher.watchExit(found, () => assert.fail("told a disposed watch"));
    const second = new Promise<void>((resolve) => void watcher.watchExit(found, resolve));
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    child.kill("SIGKILL");
    await second;
    await child.status;
  });
}
