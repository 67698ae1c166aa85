import assert from "node:assert/strict";
import { FailedPreconditionError } from "../../src/errors/mod.ts";
import { RuntimeFixture } from "./runtime_fixture.ts";

const options = { sanitizeOps: false, sanitizeResources: false };

Deno.test("a container's exit code, time and output arrive as they were", options, async () => {
  await using fixture = await RuntimeFixture.open();
  for (const code of [0, 3, 137]) {
    const before = BigInt(Date.now()) * 1_000_000n;
    const { place, exited } = await fixture.run({
      args: ["sh", "-c", `echo out; echo err >&2; exit ${code}`],
    });
    const exit = await exited;
    assert.deepEqual({ ...exit, finishedAtNs: 0n }, {
      exitCode: code,
      finishedAtNs: 0n,
      oomKilled: false,
      monitorLost: false,
    });
    assert.ok(exit.finishedAtNs >= before - 1_000_000_000n);
    assert.deepEqual((await fixture.log(place)).sort(), ["stderr F err", "stdout F out"]);
    await fixture.remove(place);
    await fixture.remove(place);
  }
});

Deno.test(
  "a container that a signal ends has 128 plus the signal's number as exit code",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    for (const signal of [9, 15]) {
      const { place, created, exited } = await fixture.run({
        // PID 1 ignores what it has no handler for, so the default action is made by hand.
        args: ["sh", "-c", "trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done"],
      });
      while ((await fixture.log(place).catch(() => [])).length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.equal(fixture.runtime.signal(place, created.init, signal), true);
      assert.equal((await exited).exitCode, 128 + signal);
      assert.equal(fixture.runtime.signal(place, created.init, signal), false);
    }
  },
);

Deno.test(
  "a command that does not exist fails the start with the runtime's words",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    await assert.rejects(
      fixture.run({ args: ["/no/such/program"] }),
      (error) => {
        assert.ok(error instanceof FailedPreconditionError, String(error));
        assert.match(error.message, /\/no\/such\/program.*no such file or directory/);
        return true;
      },
    );
  },
);
