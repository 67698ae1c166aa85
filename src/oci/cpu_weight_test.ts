import assert from "node:assert/strict";
import { curvedWeight, linearWeight, sharesOfWeight } from "./cpu_weight.ts";

Deno.test("the ends of both scales meet, by either formula", () => {
  for (const weightOf of [linearWeight, curvedWeight]) {
    assert.equal(weightOf(2n), 1n);
    assert.equal(weightOf(262_144n), 10_000n);
  }
  assert.equal(linearWeight(1_024n), 39n);
  assert.equal(curvedWeight(1_024n), 100n);
});

Deno.test("a weight is told as the shares that were asked for, if it stands for them", () => {
  for (
    const shares of [2n, 3n, 10n, 100n, 102n, 512n, 1_000n, 1_024n, 2_048n, 100_000n, 262_144n]
  ) {
    assert.equal(sharesOfWeight(linearWeight(shares), shares), shares);
    assert.equal(sharesOfWeight(curvedWeight(shares), shares), shares);
  }
});

Deno.test("another weight is told as shares that make it", () => {
  for (const weight of [1n, 2n, 39n, 100n, 5_000n, 10_000n]) {
    assert.equal(linearWeight(sharesOfWeight(weight, 7_777n)), weight);
  }
});
