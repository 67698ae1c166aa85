import assert from "node:assert/strict";
import { pause, RestartBackOff, wantsRestart } from "./restarts.ts";

Deno.test("wantsRestart() follows restartPolicy", () => {
  const rows = ["Always", "OnFailure", "Never"] as const;
  assert.deepEqual(rows.map((policy) => [wantsRestart(policy, 0), wantsRestart(policy, 1)]), [
    [true, true],
    [false, true],
    [false, false],
  ]);
});

Deno.test("RestartBackOff doubles to a minute, and forgives after ten", () => {
  const backOff = new RestartBackOff();
  const delays = Array.from({ length: 9 }, () => backOff.delayMs(10));
  assert.deepEqual(delays, [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  assert.equal(backOff.delayMs(600_000), 0);
  assert.equal(backOff.delayMs(10), 1000);
});

Deno.test("pause() ends at once when its signal fires", async () => {
  const controller = new AbortController();
  const paused = pause(1 << 30, controller.signal);
  controller.abort();
  await paused;
  await pause(1 << 30, controller.signal);
});
