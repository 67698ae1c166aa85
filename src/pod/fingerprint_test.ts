import assert from "node:assert/strict";
import { fingerprint } from "./fingerprint.ts";

Deno.test("fingerprint does not depend on the order of map entries", () => {
  assert.equal(
    fingerprint({ labels: { a: "1", b: "2" } }),
    fingerprint({ labels: { b: "2", a: "1" } }),
  );
});

Deno.test("fingerprint tells lists in another order, bytes and big integers apart", () => {
  assert.notEqual(fingerprint(["a", "b"]), fingerprint(["b", "a"]));
  assert.notEqual(fingerprint(new Uint8Array([1])), fingerprint(new Uint8Array([2])));
  assert.notEqual(fingerprint(1n), fingerprint(2n));
});
