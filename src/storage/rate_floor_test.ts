import assert from "node:assert/strict";
import { ManualClock } from "../../tests/support/manual_clock.ts";
import { RateFloor } from "./rate_floor.ts";

const WINDOW_MS = 60_000;
const SLICE_MS = WINDOW_MS / 10;
/** More than the window is looked at behind its time. */
const GRACES_MS = 2_000;

function floorOf(floorBytesPerSecond: number) {
  const clock = new ManualClock();
  return { clock, floor: new RateFloor({ windowMs: WINDOW_MS, floorBytesPerSecond }, clock) };
}

Deno.test("RateFloor fires when nothing comes, and says how little it was", () => {
  const { clock, floor } = floorOf(1);
  clock.advance(WINDOW_MS - 1);
  assert.equal(floor.signal.aborted, false);
  clock.advance(GRACES_MS);
  assert.equal(floor.signal.aborted, true);
  assert.equal(floor.reason, "it sent 0 bytes in 60 s");
  assert.equal(clock.pending, 0);
});

Deno.test("RateFloor fires on a trickle below the rate, and not on one above it", () => {
  for (const [bytes, stalls] of [[999, true], [1001, false]] as const) {
    const { clock, floor } = floorOf(1000);
    for (let second = 0; second < 200 && !floor.signal.aborted; second++) {
      clock.advance(1000);
      floor.received(bytes);
      floor.waiting();
    }
    assert.equal(floor.signal.aborted, stalls);
    if (stalls) assert.equal(floor.reason, "it sent 59940 bytes in 60 s");
  }
});

Deno.test("RateFloor counts only the time in which the other side is waited for", () => {
  const { clock, floor } = floorOf(1);
  for (let round = 0; round < 3; round++) {
    floor.received(0);
    clock.advance(10 * WINDOW_MS);
    assert.equal(floor.signal.aborted, false);
    floor.waiting();
    clock.advance(SLICE_MS);
  }
  clock.advance(WINDOW_MS);
  assert.equal(floor.signal.aborted, true);
});

Deno.test("RateFloor lets a thread that was busy read what has come before it judges", () => {
  const { clock, floor } = floorOf(1);
  // Silent for almost as long as it may be, then something comes that nobody has time to read.
  clock.advance(WINDOW_MS - 1);
  clock.freeze(10 * WINDOW_MS);
  assert.equal(floor.signal.aborted, false);
  floor.received(1000);
  assert.equal(floor.signal.aborted, false);
  floor.waiting();
  clock.advance(SLICE_MS);
  assert.equal(floor.signal.aborted, false);
});

Deno.test("RateFloor counts a time in which its thread was busy as little of its window", () => {
  const { clock, floor } = floorOf(1);
  // Neither its timer nor a read ran: it is not known when what comes now came.
  clock.freeze(10 * WINDOW_MS);
  clock.advance(GRACES_MS);
  assert.equal(floor.signal.aborted, false);
  floor.received(0);
  assert.equal(floor.signal.aborted, false);
  floor.waiting();
  clock.advance(WINDOW_MS);
  assert.equal(floor.signal.aborted, true, "silence is still found");
});

Deno.test("RateFloor keeps no timer once it is disposed", () => {
  // The leak check of the test runner fails if it does.
  const floor = new RateFloor({ windowMs: WINDOW_MS, floorBytesPerSecond: 1 });
  floor.received(1);
  floor.waiting();
  floor[Symbol.dispose]();
});
