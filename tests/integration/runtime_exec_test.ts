import assert from "node:assert/strict";
import {
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  NotFoundError,
} from "../../src/errors/mod.ts";
import type { ExecRequest } from "../../src/runtime/mod.ts";
import { ExecTarget } from "./exec_target.ts";

const options = { sanitizeOps: false, sanitizeResources: false };
const MIB = 1 << 20;

function exec(target: ExecTarget, script: string, overrides: Partial<ExecRequest> = {}) {
  return target.fixture.runtime.execSync({
    ...target.command(script),
    timeoutMs: 30_000,
    outputLimitBytes: 16 * MIB,
    ...overrides,
  });
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("execSync gives both streams and the exit code exactly", options, async () => {
  await using target = await ExecTarget.open();
  const mixed = await exec(target, "printf 'a\\nb'; printf 'x\\n\\n' >&2; exit 7");
  assert.equal(mixed.exitCode, 7);
  assert.equal(text(mixed.stdout), "a\nb");
  assert.equal(text(mixed.stderr), "x\n\n");
  assert.equal((await exec(target, "kill -9 $$")).exitCode, 137);
  assert.equal((await exec(target, "kill -15 $$")).exitCode, 143);
  assert.equal((await exec(target, "true")).stdout.length, 0);
  const binary = await exec(target, "printf '\\000\\377\\n\\001'; head -c 100000 /bin/busybox");
  const expected = (await Deno.readFile("/bin/busybox")).subarray(0, 100_000);
  assert.deepEqual(binary.stdout.subarray(0, 4), new Uint8Array([0, 255, 10, 1]));
  assert.deepEqual(binary.stdout.subarray(4), expected);
  const process = { ...target.fixture.process([]), env: ["PATH=/bin", "WHO=me"], cwd: "/tmp" };
  const environment = await exec(target, "echo $WHO $(pwd)", { process });
  assert.equal(text(environment.stdout), "me /tmp\n");
  assert.deepEqual(target.leftovers(), []);
});

Deno.test(
  "execSync names a command that does not exist in the runtime's words",
  options,
  async () => {
    await using target = await ExecTarget.open();
    await assert.rejects(
      exec(target, "", { args: ["no-such-command"] }),
      (error) => {
        assert.ok(error instanceof FailedPreconditionError, String(error));
        assert.match(error.message, /no-such-command.*not found/);
        return true;
      },
    );
    assert.deepEqual(target.leftovers(), []);
  },
);

Deno.test("execSync in a container that does not run is refused", options, async () => {
  await using target = await ExecTarget.open(["true"]);
  await target.container.exited;
  await assert.rejects(exec(target, "true"), FailedPreconditionError);
  await target.fixture.remove(target.container.place);
  await assert.rejects(exec(target, "true"), NotFoundError);
});

Deno.test(
  "execSync past its time-out leaves no process, grandchildren and forkers included",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const before = target.processes();
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
        exec(target, script, { timeoutMs: 300 }),
        DeadlineExceededError,
      );
      assert.ok(performance.now() - started >= 300);
      assert.deepEqual(target.processes(), before, script);
      assert.deepEqual(target.leftovers(), []);
    }
    // Time-outs during the start of the runtime.
    for (const timeoutMs of [1, 3, 5, 8, 12, 16, 20]) {
      await exec(target, "sleep 500", { timeoutMs }).catch((error) =>
        assert.ok(error instanceof DeadlineExceededError, String(error))
      );
      assert.deepEqual(target.processes(), before, `${timeoutMs} ms`);
      assert.deepEqual(target.leftovers(), []);
    }
    assert.equal((await exec(target, "exit 4")).exitCode, 4);
  },
);

Deno.test("execSync ends when its signal fires", options, async () => {
  await using target = await ExecTarget.open();
  const before = target.processes();
  const controller = new AbortController();
  const reason = new CancelledError("The client went away");
  setTimeout(() => controller.abort(reason), 100);
  await assert.rejects(
    exec(target, "sleep 500", { timeoutMs: 0, signal: controller.signal }),
    (error) => error === reason,
  );
  assert.deepEqual(target.processes(), before);
});

Deno.test(
  "execSync answers while a background child holds the pipe, and the child goes on",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const before = target.processes();
    const started = performance.now();
    const result = await exec(target, "sleep 400 & echo done");
    assert.equal(text(result.stdout), "done\n");
    assert.ok(performance.now() - started < 10_000);
    assert.equal(target.processes().length, before.length + 1);
    assert.deepEqual(target.leftovers(), []);
  },
);

Deno.test(
  "execSync drops output beyond the limit, with bounded memory and nothing on disk",
  options,
  async () => {
    await using target = await ExecTarget.open();
    const before = Deno.memoryUsage().rss;
    let peak = 0;
    const sampler = setInterval(() => peak = Math.max(peak, Deno.memoryUsage().rss), 20);
    try {
      const large = await exec(target, "head -c 300000000 /dev/zero; echo end >&2; exit 5", {
        outputLimitBytes: MIB,
      });
      assert.equal(large.exitCode, 5);
      assert.equal(large.stdout.length + large.stderr.length, MIB);
      const lines = await exec(target, "yes | head -c 5000000", {
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
  await using target = await ExecTarget.open();
  const before = target.processes();
  const running = exec(target, "sleep 500 & sleep 501; true", { timeoutMs: 0 });
  running.catch(() => {});
  while (target.processes().length < before.length + 3) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await target.fixture.runtime.sweepExecs(target.container.place);
  assert.deepEqual(target.processes(), before);
  assert.deepEqual(target.cgroups(), []);
  assert.equal((await running).exitCode, 137);
});
