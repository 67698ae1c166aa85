import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { Turn } from "./turn.ts";

Deno.test("all who pass bytes share a turn, and small calls count, too", async () => {
  const turn = new Turn();
  let calls = 0;
  let most = 0;
  let over = false;
  // Everybody else: looks at how much was passed since it was last here.
  const looking = (async () => {
    while (!over) {
      most = Math.max(most, calls);
      calls = 0;
      await new Promise((resolve) => void setImmediate(resolve));
    }
  })();
  await Promise.all(Array.from({ length: 50 }, async () => {
    for (let call = 0; call < 500; call++) {
      if (turn.over) await turn.others();
      turn.spend(1);
      calls++;
    }
  }));
  over = true;
  await looking;
  most = Math.max(most, calls);
  // One turn's calls, and perhaps those of the next that begins before the others look.
  assert.ok(most <= 2 * 64, `${most} calls in one turn`);
});

Deno.test("a turn that has begun anew is not over", () => {
  const turn = new Turn();
  turn.spend(1 << 20);
  assert.equal(turn.over, true);
  turn.begin();
  assert.equal(turn.over, false);
});
