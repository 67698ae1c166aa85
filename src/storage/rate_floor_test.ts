import assert from "node:assert/strict";
import { RateFloor } from "./rate_floor.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const fired = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

Deno.test("RateFloor fires when nothing comes, and says how little it was", async () => {
  using floor = new RateFloor({ windowMs: 50, floorBytesPerSecond: 1 });
  await fired(floor.signal);
  assert.equal(floor.reason, "it sent 0 bytes in 0.05 s");
});

Deno.test("RateFloor fires on a trickle below the rate", async () => {
  using floor = new RateFloor({ windowMs: 50, floorBytesPerSecond: 1_000_000_000 });
  while (!floor.signal.aborted) {
    floor.received(1);
    floor.waiting();
    await pause(1);
  }
  assert.match(floor.reason, /^it sent \d+ bytes in 0\.05 s$/);
});

Deno.test("RateFloor counts only the time in which the other side is waited for", async () => {
  using floor = new RateFloor({ windowMs: 20, floorBytesPerSecond: 1 });
  for (let round = 0; round < 3; round++) {
    // Well above the floor, however long the thread is kept from running in between.
    floor.received(1_000_000);
    await pause(40);
    assert.equal(floor.signal.aborted, false);
    floor.waiting();
  }
  await fired(floor.signal);
});

Deno.test("RateFloor keeps no timer once it is disposed", () => {
  // The leak check of the test runner fails if it does.
  const floor = new RateFloor({ windowMs: 60_000, floorBytesPerSecond: 1 });
  floor.received(1);
  floor.waiting();
  floor[Symbol.dispose]();
});
