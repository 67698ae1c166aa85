import assert from "node:assert/strict";
import { expand } from "./expansion.ts";
import { parseQuantity } from "../model/mod.ts";
import { age, bytesText, columns, safeText, shortId } from "./table.ts";

Deno.test("parseQuantity() reads every suffix and rounds up", () => {
  const cases: readonly (readonly [string, bigint, bigint | undefined])[] = [
    ["1", 1000n, 1000n],
    ["250m", 1000n, 250n],
    ["0.1", 1000n, 100n],
    ["1.5Gi", 1n, 1_610_612_736n],
    ["64Mi", 1n, 67_108_864n],
    ["1e3", 1n, 1000n],
    ["1E", 1n, 10n ** 18n],
    ["1500u", 1000n, 2n],
    ["12k", 1n, 12_000n],
    ["-1", 1n, undefined],
    ["1Mb", 1n, undefined],
    ["", 1n, undefined],
    ["1e99", 1n, undefined],
  ];
  for (const [text, scale, expected] of cases) {
    assert.equal(parseQuantity(text, scale), expected, text);
  }
});

Deno.test("expand() leaves unknown names and unescapes doubled dollars", () => {
  const variables = new Map([["A", "1"], ["B", "$(A)"]]);
  assert.equal(expand("$(A) $(B) $(C) $$(A) $$$(A) $A $(", variables), "1 $(A) $(C) $(A) $1 $A $(");
});

Deno.test("tables align, and nothing in a cell reaches the terminal as a command", () => {
  assert.deepEqual(columns([["A", "B"], ["long", ""]]), ["A     B", "long"]);
  assert.equal(safeText("a\x1b[2Jb\n"), "a\ufffd[2Jb\ufffd");
  assert.equal(shortId("sha256:" + "ab".repeat(32)), "ababababababa");
  assert.equal(bytesText(12_345_678n), "12.3MB");
  assert.equal(bytesText(999n), "999B");
  assert.equal(age(0n, 7_200_000), "2 hours ago");
  assert.equal(age(0n, 1_000), "1 second ago");
});
