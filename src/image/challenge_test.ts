import assert from "node:assert/strict";
import { parseChallenges } from "./challenge.ts";

Deno.test("parseChallenges() reads what registries send", () => {
  assert.deepEqual(parseChallenges('Basic realm="x, y"'), [{ scheme: "basic" }]);
  assert.deepEqual(
    parseChallenges(
      'Bearer realm="https://auth.example/token",service="reg \\"q\\"",scope="repository:a/b:pull,push"',
    ),
    [{
      scheme: "bearer",
      realm: "https://auth.example/token",
      service: 'reg "q"',
      scope: "repository:a/b:pull,push",
    }],
  );
  assert.deepEqual(
    parseChallenges('Negotiate, Bearer realm=https://a/t , basic realm="b"').map((c) => c.scheme),
    ["bearer", "basic"],
  );
});

Deno.test("parseChallenges() gives nothing for nonsense, quickly", () => {
  for (const text of ["", "Bearer", "Bearer service=x", "=", '"', "a=b", "Basic".repeat(10_000)]) {
    assert.deepEqual(parseChallenges(text), [], text.slice(0, 20));
  }
  parseChallenges(`Bearer ${'a="\\'.repeat(1500)}`);
});
