import assert from "node:assert/strict";
import { Figures, median, quantile } from "./figures.ts";

Deno.test("quantile() takes the nearest rank", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(quantile([1, 2, 3, 4], 0.99), 4);
});

Deno.test("Figures.table() shows the ratio of the medians to the reference", () => {
  const figures = new Figures();
  figures.add("row", "ours", 5);
  figures.add("row", "theirs", 10);
  assert.match(
    figures.table(["ours", "theirs"], "theirs"),
    /\| row \| 5\.0 \/ 5\.0 \| 10\.0 \/ 10\.0 \| 0\.50 \|/,
  );
});
