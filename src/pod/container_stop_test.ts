import assert from "node:assert/strict";
import { DeadlineExceededError } from "../errors/mod.ts";
import { SystemClock } from "../model/mod.ts";
import { ContainerStopper } from "./container_stop.ts";
import { KeyedMutex } from "./mutex.ts";
import { containerRecord, RUNNING } from "./_test_records.ts";

/** A container that ends at one of the given signals, once it hears. */
function stopping(
  endsAt: readonly number[],
  heeds: () => boolean = () => true,
  { container = containerRecord(RUNNING), hears = (): boolean => true } = {},
) {
  const ended = Promise.withResolvers<void>();
  const signals: number[] = [];
  let live = true;
  const mutex = new KeyedMutex();
  const stopper = new ContainerStopper({
    registry: { container: () => (live ? container : undefined) } as never,
    runtime: {
      signal: (_place, _init, signal) => {
        signals.push(signal);
        if (endsAt.includes(signal) && hears()) {
          live = false;
          ended.resolve();
        }
        return true;
      },
      heeds,
    },
    exits: { ended: () => ended.promise, expectKill: () => {} } as never,
    mutex,
    clock: new SystemClock(),
    killDeadlineMs: 50,
  });
  return { container, stopper, signals, mutex };
}

/** However slow the machine is, it has not had its time to set up handlers. */
function settling() {
  const startedAtNs = new SystemClock().nowNs() + 3_600_000_000_000n;
  return containerRecord({ ...RUNNING, startedAtNs });
}

Deno.test("a container that heeds its stop signal is not killed", async () => {
  const { container, stopper, signals } = stopping([15]);
  await stopper.stop(container, 60_000);
  assert.deepEqual(signals, [15]);
});

Deno.test("a grace of zero kills at once, without the stop signal", async () => {
  const { container, stopper, signals } = stopping([9]);
  await stopper.stop(container, 0);
  assert.deepEqual(signals, [9]);
});

Deno.test("a repeated stop shortens the deadline of the one under way", async () => {
  const { container, stopper, signals } = stopping([9]);
  const first = stopper.stop(container, 600_000);
  const second = stopper.stop(container, 10);
  await Promise.all([first, second]);
  assert.deepEqual(signals, [15, 9]);
});

Deno.test("a start that hangs does not keep a container beyond its deadline", async () => {
  const { container, stopper, signals, mutex } = stopping([9]);
  const start = await mutex.acquire(container.id);
  await stopper.stop(container, 10);
  assert.deepEqual(signals, [9]);
  start[Symbol.dispose]();
  using _free = await mutex.acquire(container.id);
});

Deno.test("a container that SIGKILL does not end is told when ctr_stop_timeout is over", async () => {
  const { container, stopper } = stopping([]);
  await assert.rejects(() => stopper.stop(container, 0), DeadlineExceededError);
});

Deno.test("a repeated stop with more time changes nothing", async () => {
  const { container, stopper, signals } = stopping([9]);
  const first = stopper.stop(container, 10);
  const second = stopper.stop(container, 600_000);
  await Promise.all([first, second]);
  assert.deepEqual(signals, [15, 9]);
});

Deno.test("a container that has just started hears its stop signal once it has a handler", async () => {
  const container = settling();
  let looks = 0;
  const hears = () => looks > 3;
  const { stopper, signals } = stopping([15], () => ++looks > 3, { container, hears });
  await stopper.stop(container, 60_000);
  assert.deepEqual(signals, [15, 15]);
});

Deno.test("a container that has had its time to set up handlers gets its stop signal once", async () => {
  let looks = 0;
  const { container, stopper, signals } = stopping([], () => ++looks > 1);
  await assert.rejects(stopper.stop(container, 100), DeadlineExceededError);
  assert.deepEqual(signals.filter((signal) => signal === 15), [15]);
});

Deno.test("a handler that is set up behind the stop signal gets it, too", async () => {
  const container = settling();
  let handler = false;
  const hears = () => {
    const heard = handler;
    handler = true;
    return heard;
  };
  const { stopper, signals } = stopping([15], () => handler, { container, hears });
  await stopper.stop(container, 60_000);
  assert.deepEqual(signals, [15, 15]);
});

Deno.test("a container that is settling and has its handler gets its stop signal once", async () => {
  const container = settling();
  const { stopper, signals } = stopping([9], () => true, { container });
  await stopper.stop(container, 100);
  assert.deepEqual(signals, [15, 9]);
});

Deno.test("a stop goes on looking for a handler after a look that failed", async () => {
  const container = containerRecord({ ...RUNNING, startedAtNs: 2n ** 62n });
  let looks = 0;
  const heeds = () => {
    if (++looks === 2) throw new Error("too many open files");
    return looks > 2;
  };
  const { stopper, signals } = stopping([15], heeds, { container, hears: () => looks > 2 });
  await stopper.stop(container, 600_000);
  assert.deepEqual({ looks, signals }, { looks: 3, signals: [15, 15] });
});

Deno.test("a stop whose first look fails takes its signal for heard", async () => {
  const { container, stopper, signals } = stopping([15], () => {
    throw new Error("too many open files");
  });
  await stopper.stop(container, 600_000);
  assert.deepEqual(signals, [15]);
});
