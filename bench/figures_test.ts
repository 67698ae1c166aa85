import assert from "node:assert/strict";
import { Figures, median, quantile } from "./figures.ts";

Deno.test("quantile() takes the nearest rank", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(quantile([1, 2, 3, 4], 0.99), 4);
});

Deno.test("Figures.table() shows the median of the rounds' ratios", () => {
  const figures = new Figures();
  for (const [round, theirs] of [[1, 10], [2, 20], [3, 1000]] as const) {
    figures.round = round;
    figures.add("row", "ours", 5);
    figures.add("row", "theirs", theirs);
  }
  assert.match(
    figures.table(["ours", "theirs"]),
    /\| row \| 5\.00 \| 20\.0 \| 0\.25 \|/,
  );
});

Deno.test("Figures.table() shows what only one peer has", () => {
  const figures = new Figures();
  figures.add("row", "ours", 500);
  assert.match(figures.table(["ours", "theirs"]), /\| row \| 500 \| - \| - \|/);
});
