import assert from "node:assert/strict";
import { adoptStream } from "../../src/sys/mod.ts";
import type { ContainerExit } from "../../src/runtime/mod.ts";
import { RuntimeFixture } from "./runtime_fixture.ts";

const options = { sanitizeOps: false, sanitizeResources: false };
const SIGKILL = 9;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function monitorsOf(id: string): number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => {
    try {
      return pid > 0 && Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes(id) &&
        !/\) [ZX]/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
    } catch {
      return false;
    }
  });
}

Deno.test(
  "a container whose monitor died runs on, and its end is 255 with the monitor lost",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const { place, created, exited } = await fixture.run({ args: ["sleep", "1000"] });
    let ended: ContainerExit | undefined;
    exited.then((exit) => ended = exit);
    fixture.processes.signal(created.monitor, SIGKILL);
    await pause(300);
    assert.equal(ended, undefined);
    assert.ok(fixture.processes.isAlive(created.init));
    assert.equal(fixture.runtime.signal(place, created.init, SIGKILL), true);
    const exit = await exited;
    assert.equal(exit.exitCode, 255);
    assert.equal(exit.monitorLost, true);
    assert.ok(exit.finishedAtNs > 0n);
  },
);

Deno.test("an exit while nobody watched is told with its code and time", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const { place, created } = await fixture.run({
    args: ["sh", "-c", "exit 9"],
    stopAt: "unwatched",
  });
  await fixture.runtime.start(place, AbortSignal.timeout(60_000));
  while (monitorsOf(place.id).length > 0) await pause(10);
  const exit = await fixture.watch(place, created);
  assert.equal(exit.exitCode, 9);
  assert.equal(exit.monitorLost, false);
  const { mtime } = await Deno.stat(`${fixture.root}/exits/${place.id}`);
  assert.equal(exit.finishedAtNs / 1_000_000n, BigInt(mtime!.getTime()));
});

Deno.test("a container killed for lack of memory says so, whoever notices", options, async () => {
  await using fixture = await RuntimeFixture.open();
  // The init process itself, so that the monitor may see the end before the news of the kill.
  for (let round = 0; round < 5; round++) {
    const { exited } = await fixture.run({
      args: ["sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"],
      memoryLimitBytes: 24 << 20,
    });
    const exit = await exited;
    assert.equal(exit.exitCode, 137);
    assert.equal(exit.oomKilled, true);
  }
  const { exited } = await fixture.run({ args: ["sh", "-c", "kill -9 $$; exit 137"] });
  assert.equal((await exited).oomKilled, false);
});

Deno.test("200 short containers: no end is lost or told twice", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const told = new Map<string, number>();
  let left = 200;
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (left-- > 0) {
      const code = left % 7;
      const { place, exited } = await fixture.run({ args: ["sh", "-c", `exit ${code}`] });
      exited.then(() => told.set(place.id, (told.get(place.id) ?? 0) + 1));
      assert.equal((await exited).exitCode, code);
      await fixture.remove(place);
    }
  }));
  assert.equal(told.size, 200);
  assert.ok([...told.values()].every((times) => times === 1));
  assert.deepEqual([...Deno.readDirSync(`${fixture.root}/exits`)], []);
});

Deno.test(
  "with a terminal both streams are one, and the program has a terminal",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const { place, exited } = await fixture.run({
      args: ["sh", "-c", "test -t 0 && test -t 1 && echo terminal; echo more >&2"],
      terminal: true,
    });
    assert.equal((await exited).exitCode, 0);
    assert.deepEqual(await fixture.log(place), ["stdout F terminal\r", "stdout F more\r"]);
  },
);

Deno.test(
  "standard input is open until the first client leaves with stdin-once, empty without stdin",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const without = await fixture.run({ args: ["cat"] });
    assert.equal((await without.exited).exitCode, 0);

    for (const stdinOnce of [true, false]) {
      const { place, exited } = await fixture.run({ args: ["cat"], stdin: true, stdinOnce });
      let ended = false;
      exited.then(() => ended = true);
      const fd = fixture.kernel.socket(1, 5, 0);
      fixture.kernel.connectUnix(fd.number, `${place.bundle}/attach`);
      const client = adoptStream(fd);
      client.resume();
      client.write("hello\n");
      while ((await fixture.log(place)).length === 0) await pause(5);
      assert.deepEqual(await fixture.log(place), ["stdout F hello"]);
      client.destroy();
      if (stdinOnce) assert.equal((await exited).exitCode, 0);
      else {
        await pause(200);
        assert.equal(ended, false);
      }
    }
  },
);

Deno.test("a container has no descriptor but its own three", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const { place, created, exited } = await fixture.run({
    args: ["sh", "-c", "ls -l /proc/1/fd; sleep 1000"],
    stdin: true,
  });
  while ((await fixture.log(place)).length < 4) await pause(5);
  const inherited = (pid: number) =>
    [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => Number(name)).sort((a, b) => a - b);
  assert.deepEqual(inherited(created.init.pid), [0, 1, 2]);
  const result = await fixture.runtime.execSync({
    place,
    args: ["ls", "/proc/self/fd"],
    process: fixture.process([]),
    timeoutMs: 10_000,
    outputLimitBytes: 10_000,
  });
  // 3 is the directory that ls reads.
  assert.equal(new TextDecoder().decode(result.stdout), "0\n1\n2\n3\n");
  // The monitor shares nothing with us but the null device and what it opened itself.
  const ours = new Set(inherited(Deno.pid).map((fd) => linkOf(Deno.pid, fd)).filter(isAnonymous));
  const shared = inherited(created.monitor.pid).map((fd) => linkOf(created.monitor.pid, fd))
    .filter((link) => isAnonymous(link) && ours.has(link));
  assert.deepEqual(shared.filter((link) => !inheritedByUs.has(link)), []);
  void exited;
});

/** Descriptors that whoever started the tests left open: sealed in the server, not in a test. */
const inheritedByUs = new Set(
  [...Deno.readDirSync(`/proc/${Deno.ppid}/fd`)].map(({ name }) => linkOf(Deno.ppid, Number(name))),
);

function linkOf(pid: number, fd: number): string {
  try {
    return Deno.readLinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return "";
  }
}

function isAnonymous(link: string): boolean {
  return link.startsWith("pipe:") || link.startsWith("socket:");
}

Deno.test(
  "removing takes away what was made at any point, frozen and running alike",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const leftovers = (id: string) =>
      [
        ...[...Deno.readDirSync("/sys/fs/cgroup")].map(({ name }) =>
          `/sys/fs/cgroup/${name}${fixture.cgroupParent}/sauropod-${id}`
        ),
        `${fixture.root}/runc/${id}`,
        `${fixture.root}/exits/${id}`,
        `${fixture.root}/bundles/${id}/ctl`,
        `${fixture.root}/bundles/${id}/conmon-pidfile`,
      ].filter((path) => {
        try {
          Deno.lstatSync(path);
          return true;
        } catch {
          return false;
        }
      });

    const running = await fixture.run({ args: ["sh", "-c", "sleep 1000 & sleep 1001"] });
    const created = await fixture.run({ args: ["sleep", "1000"], stopAt: "created" });
    const lost = await fixture.run({ args: ["sleep", "1000"], stopAt: "created" });
    fixture.processes.signal(lost.created.monitor, SIGKILL);
    const frozen = await fixture.run({ args: ["sleep", "1000"] });
    await Deno.writeTextFile(
      `/sys/fs/cgroup/freezer${frozen.place.cgroupPath}/freezer.state`,
      "FROZEN",
    );
    for (const { place } of [running, created, lost, frozen]) {
      await fixture.remove(place);
      assert.deepEqual(monitorsOf(place.id), []);
      assert.deepEqual(leftovers(place.id), []);
    }

    // Removed while it is being made, after ever longer.
    for (const delayMs of [0, 2, 5, 10, 15, 20, 25, 30, 40]) {
      const place = await fixture.place({ args: ["sleep", "1000"] });
      const making = fixture.runtime.create(
        { place, name: "half", terminal: false, stdin: false, stdinOnce: false },
        AbortSignal.timeout(60_000),
      );
      making.catch(() => {});
      await pause(delayMs);
      await fixture.remove(place);
      await making.catch(() => {});
      await fixture.remove(place);
      assert.deepEqual(monitorsOf(place.id), [], `${delayMs} ms`);
      assert.deepEqual(leftovers(place.id), [], `${delayMs} ms`);
    }
  },
);

Deno.test("after another boot removing touches files only", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const { place, created } = await fixture.run({ args: ["sleep", "1000"] });
  const type = fixture.runtime.resourceType();
  const { kind, payload } = fixture.runtime.intent(place);
  assert.equal(type.kind, kind);
  const resource = { row: 1, owner: place.id, kind, payload, state: "done", bootId: "x" } as const;
  await type.undo(type.parse(payload), {
    resource,
    sameBoot: false,
    signal: AbortSignal.timeout(60_000),
  });
  assert.ok(fixture.processes.isAlive(created.init));
  assert.ok(fixture.processes.isAlive(created.monitor));
  // Its files are gone, so ending it is up to the test.
  fixture.processes.signal(created.init, SIGKILL);
  while (monitorsOf(place.id).length > 0) await pause(10);
});

Deno.test("inspect tells created, running, stopped and unknown apart", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const { place, created, exited } = await fixture.run({
    args: ["sleep", "1000"],
    stopAt: "created",
  });
  assert.deepEqual(await fixture.runtime.inspect(place), { status: "created", ...created });
  await fixture.runtime.start(place, AbortSignal.timeout(60_000));
  assert.deepEqual(await fixture.runtime.inspect(place), { status: "running", ...created });
  fixture.runtime.signal(place, created.init, SIGKILL);
  await exited;
  assert.equal((await fixture.runtime.inspect(place))?.status, "stopped");
  await fixture.remove(place);
  assert.equal(await fixture.runtime.inspect(place), undefined);
});
