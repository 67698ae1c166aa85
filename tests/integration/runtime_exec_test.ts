import assert from "node:assert/strict";
import {
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  NotFoundError,
} from "../../src/errors/mod.ts";
import type { ExecRequest } from "../../src/runtime/mod.ts";
import { RuntimeFixture, type TestContainer } from "./runtime_fixture.ts";

const options = { sanitizeOps: false, sanitizeResources: false };
const MIB = 1 << 20;

function exec(
  fixture: RuntimeFixture,
  { place }: TestContainer,
  script: string,
  overrides: Partial<ExecRequest> = {},
) {
  return fixture.runtime.execSync({
    place,
    args: ["sh", "-c", script],
    process: fixture.process(["ignored"]),
    timeoutMs: 30_000,
    outputLimitBytes: 16 * MIB,
    ...overrides,
  });
}

/** Every process in the container's cgroup and below it. */
async function processes(fixture: RuntimeFixture, { place }: TestContainer): Promise<string[]> {
  const found = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const cgroup = await Deno.readTextFile(`/proc/${name}/cgroup`).catch(() => "");
    if (!cgroup.includes(place.cgroupPath)) continue;
    const stat = await Deno.readTextFile(`/proc/${name}/stat`).catch(() => ") X");
    if (!/\) [ZX]/.test(stat)) found.push(name);
  }
  void fixture;
  return found;
}

function execCgroups({ place }: TestContainer): string[] {
  const parent = `/sys/fs/cgroup/freezer${place.cgroupPath}`;
  return [...Deno.readDirSync(parent)].filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => name);
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("execSync gives both streams and the exit code exactly", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const container = await fixture.run({ args: ["sleep", "1000"] });
  const mixed = await exec(fixture, container, "printf 'a\\nb'; printf 'x\\n\\n' >&2; exit 7");
  assert.equal(mixed.exitCode, 7);
  assert.equal(text(mixed.stdout), "a\nb");
  assert.equal(text(mixed.stderr), "x\n\n");
  assert.equal((await exec(fixture, container, "kill -9 $$")).exitCode, 137);
  assert.equal((await exec(fixture, container, "kill -15 $$")).exitCode, 143);
  assert.equal((await exec(fixture, container, "true")).stdout.length, 0);
  const binary = await exec(
    fixture,
    container,
    "printf '\\000\\377\\n\\001'; head -c 100000 /bin/busybox",
  );
  const expected = (await Deno.readFile("/bin/busybox")).subarray(0, 100_000);
  assert.deepEqual(binary.stdout.subarray(0, 4), new Uint8Array([0, 255, 10, 1]));
  assert.deepEqual(binary.stdout.subarray(4), expected);
  const process = { ...fixture.process([]), env: ["PATH=/bin", "WHO=me"], cwd: "/tmp" };
  const environment = await exec(fixture, container, "echo $WHO $(pwd)", { process });
  assert.equal(text(environment.stdout), "me /tmp\n");
  assert.deepEqual(execCgroups(container), []);
  assert.deepEqual([...Deno.readDirSync(`${fixture.root}/exec`)], []);
});

Deno.test(
  "execSync names a command that does not exist in the runtime's words",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const container = await fixture.run({ args: ["sleep", "1000"] });
    await assert.rejects(
      exec(fixture, container, "", { args: ["no-such-command"] }),
      (error) => {
        assert.ok(error instanceof FailedPreconditionError, String(error));
        assert.match(error.message, /no-such-command.*not found/);
        return true;
      },
    );
    assert.deepEqual(execCgroups(container), []);
  },
);

Deno.test("execSync in a container that does not run is refused", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const container = await fixture.run({ args: ["true"] });
  await container.exited;
  await assert.rejects(exec(fixture, container, "true"), FailedPreconditionError);
  await fixture.remove(container.place);
  await assert.rejects(exec(fixture, container, "true"), NotFoundError);
});

Deno.test(
  "execSync past its time-out leaves no process, grandchildren and forkers included",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const container = await fixture.run({ args: ["sleep", "1000"] });
    const before = await processes(fixture, container);
    for (
      const script of [
        "sleep 500",
        "trap '' TERM HUP; setsid sh -c 'sleep 500 & sleep 501' & sleep 502",
        // Forks as fast as it can: only a frozen tree can be killed one by one.
        "f() { f & sleep 0.01; f; }; f",
      ]
    ) {
      const started = performance.now();
      await assert.rejects(
        exec(fixture, container, script, { timeoutMs: 300 }),
        DeadlineExceededError,
      );
      assert.ok(performance.now() - started >= 300);
      assert.deepEqual(await processes(fixture, container), before, script);
      assert.deepEqual(execCgroups(container), []);
    }
    // Time-outs during the start of the runtime.
    for (const timeoutMs of [1, 3, 5, 8, 12, 16, 20]) {
      await exec(fixture, container, "sleep 500", { timeoutMs }).catch((error) =>
        assert.ok(error instanceof DeadlineExceededError, String(error))
      );
      assert.deepEqual(await processes(fixture, container), before, `${timeoutMs} ms`);
      assert.deepEqual(execCgroups(container), []);
    }
    assert.equal((await exec(fixture, container, "exit 4")).exitCode, 4);
  },
);

Deno.test("execSync ends when its signal fires", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const container = await fixture.run({ args: ["sleep", "1000"] });
  const before = await processes(fixture, container);
  const controller = new AbortController();
  const reason = new CancelledError("The client went away");
  setTimeout(() => controller.abort(reason), 100);
  await assert.rejects(
    exec(fixture, container, "sleep 500", { timeoutMs: 0, signal: controller.signal }),
    (error) => error === reason,
  );
  assert.deepEqual(await processes(fixture, container), before);
});

Deno.test(
  "execSync answers while a background child holds the pipe, and the child goes on",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const container = await fixture.run({ args: ["sleep", "1000"] });
    const before = await processes(fixture, container);
    const started = performance.now();
    const result = await exec(fixture, container, "sleep 400 & echo done");
    assert.equal(text(result.stdout), "done\n");
    assert.ok(performance.now() - started < 10_000);
    assert.equal((await processes(fixture, container)).length, before.length + 1);
    assert.deepEqual(execCgroups(container), []);
  },
);

Deno.test(
  "execSync drops output beyond the limit, with bounded memory and nothing on disk",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const container = await fixture.run({ args: ["sleep", "1000"] });
    const before = Deno.memoryUsage().rss;
    let peak = 0;
    const sampler = setInterval(() => peak = Math.max(peak, Deno.memoryUsage().rss), 20);
    try {
      const large = await exec(
        fixture,
        container,
        "head -c 300000000 /dev/zero; echo end >&2; exit 5",
        {
          outputLimitBytes: MIB,
        },
      );
      assert.equal(large.exitCode, 5);
      assert.equal(large.stdout.length + large.stderr.length, MIB);
      const lines = await exec(fixture, container, "yes | head -c 5000000", {
        outputLimitBytes: MIB,
      });
      assert.equal(text(lines.stdout), "y\n".repeat(MIB / 2));
    } finally {
      clearInterval(sampler);
    }
    assert.ok(peak - before < 150 * MIB, `grew by ${(peak - before) / MIB} MiB`);
  },
);

Deno.test("sweepExecs ends what an earlier life left, and nothing else", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const container = await fixture.run({ args: ["sleep", "1000"] });
  const before = await processes(fixture, container);
  const running = exec(fixture, container, "sleep 500 & sleep 501; true", { timeoutMs: 0 });
  running.catch(() => {});
  while ((await processes(fixture, container)).length < before.length + 3) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await fixture.runtime.sweepExecs(container.place);
  assert.deepEqual(await processes(fixture, container), before);
  assert.deepEqual(execCgroups(container), []);
  assert.equal((await running).exitCode, 137);
});
