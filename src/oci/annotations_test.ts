import assert from "node:assert/strict";
import { UnimplementedError } from "../errors/mod.ts";
import { refuseActingAnnotations } from "./annotations.ts";

const check = (allowed: readonly string[], key: string) =>
  refuseActingAnnotations({ [key]: "auto" }, { allowed, defaults: {} });

Deno.test("an annotation that is allowed to change the isolation is refused until it is built", () => {
  const names = [
    "userns-mode.crio.io",
    "io.kubernetes.cri-o.userns-mode",
    "seccomp-profile.crio.io/main",
    "io.kubernetes.cri-o.LinkLogs",
  ];
  for (const key of names) {
    assert.throws(() => check([key.split("/")[0]!], key), UnimplementedError, key);
    // CRI-O drops what its handler does not allow, without a word.
    assert.doesNotThrow(() => check([], key), key);
  }
  assert.doesNotThrow(() => check(["userns-mode.crio.io"], "userns-mode.crio.iox"));
  assert.doesNotThrow(() => check([""], "userns-mode.crio.io"));
});

Deno.test("a handler's default that is not built is refused as well, allowed or not", () => {
  const defaults = { "io.kubernetes.cri-o.userns-mode": "auto" };
  assert.throws(() => refuseActingAnnotations({}, { allowed: [], defaults }), UnimplementedError);
});
