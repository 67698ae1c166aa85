import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { bandwidthOf, parseQuantity } from "./bandwidth.ts";

Deno.test("annotations become rates in bits a second with the largest burst", () => {
  assert.deepEqual(bandwidthOf({ "kubernetes.io/ingress-bandwidth": "10M", other: "x" }), {
    ingressRate: 10_000_000,
    ingressBurst: 34359738359,
  });
  assert.equal(bandwidthOf({}), undefined);
});

Deno.test("quantities have decimal and binary suffixes, fractions and exponents", () => {
  for (
    const [text, value] of [
      ["10", 10],
      ["1.5k", 1500],
      ["2Mi", 2097152],
      ["1e6", 1e6],
      ["500m", 0.5],
      ["", undefined],
      ["10X", undefined],
      ["-5M", undefined],
      ["0x10", undefined],
      ["1Mi\n", undefined],
      ["constructor", undefined],
    ] as const
  ) assert.equal(parseQuantity(text), value, text);
});

for (const text of ["0", "999", "2P", "lots", ""]) {
  Deno.test(`a bandwidth of ${JSON.stringify(text)} is refused`, () => {
    assert.throws(
      () => bandwidthOf({ "kubernetes.io/egress-bandwidth": text }),
      InvalidArgumentError,
    );
  });
}
