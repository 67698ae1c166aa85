import assert from "node:assert/strict";
import { SystemClock } from "./clock.ts";

Deno.test("SystemClock.nowNs() strictly increases", () => {
  const clock = new SystemClock();
  const times = Array.from({ length: 1000 }, () => clock.nowNs());
  assert.ok(times.every((time, index) => index === 0 || time > times[index - 1]!));
});

Deno.test("SystemClock.nowNs() tells later times than an earlier process did", () => {
  const clock = new SystemClock();
  const recorded = clock.nowNs() + 3_600_000_000_000n;
  clock.startAfter(recorded);
  assert.ok(clock.nowNs() > recorded);
  clock.startAfter(1n);
  assert.ok(clock.nowNs() > recorded);
});

Deno.test("SystemClock.nowNs() follows the wall clock when it is set forward, and never goes back", () => {
  const clock = new SystemClock();
  const wall = Date.now;
  try {
    const before = clock.nowNs();
    Date.now = () => wall() + 86_400_000;
    const after = clock.nowNs();
    assert.ok(after - before > 86_000_000_000_000n);
    Date.now = wall;
    assert.equal(clock.nowNs(), after + 1n);
  } finally {
    Date.now = wall;
  }
});
