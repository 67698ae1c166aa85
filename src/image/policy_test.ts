import assert from "node:assert/strict";
import {
  FailedPreconditionError,
  PermissionDeniedError,
  UnimplementedError,
} from "../errors/mod.ts";
import { checkLoad, checkPull, loadDefaultPolicy, loadPolicy, parsePolicy } from "./policy.ts";
import { parseReference } from "./reference.ts";

const ACCEPT = [{ type: "insecureAcceptAnything" }];
const REJECT = [{ type: "reject" }];
const policy = (value: unknown) => parsePolicy(JSON.stringify(value), "/etc/p.json");
const pulls = (value: unknown, name: string): boolean => {
  try {
    checkPull(policy(value), parseReference(name));
    return true;
  } catch (error) {
    assert(error instanceof PermissionDeniedError, String(error));
    assert(error.message.includes("/etc/p.json"));
    return false;
  }
};

Deno.test("checkPull() follows the default without a fitting scope", () => {
  assert(pulls({ default: ACCEPT }, "busybox"));
  assert(!pulls({ default: REJECT }, "busybox"));
  assert(!pulls({ default: [...ACCEPT, ...REJECT] }, "busybox"));
});

Deno.test("checkPull() asks the most specific scope first", () => {
  const value = {
    default: ACCEPT,
    transports: {
      docker: {
        "": REJECT,
        "quay.io": ACCEPT,
        "quay.io/team": REJECT,
        "quay.io/team/app": ACCEPT,
        "quay.io/team/app:bad": REJECT,
        "*.corp.example": ACCEPT,
        "*.dev.corp.example": REJECT,
        "localhost:5000": ACCEPT,
      },
    },
  };
  const table: readonly [string, boolean][] = [
    ["quay.io/other", true],
    ["quay.io/team/x", false],
    ["quay.io/team/app:v1", true],
    ["quay.io/team/app:bad", false],
    ["a.corp.example/x", true],
    ["a.dev.corp.example:5000/x", false],
    ["corp.example/x", false],
    ["localhost:5000/a/b", true],
    ["localhost/a/b", false],
    ["busybox", false],
  ];
  for (const [name, expected] of table) assert.equal(pulls(value, name), expected, name);
});

Deno.test("checkLoad() has scopes of its own transport", () => {
  const value = policy({ default: REJECT, transports: { "docker-archive": { "": ACCEPT } } });
  checkLoad(value, "docker-archive", "/tmp/a.tar");
  assert.throws(() => checkLoad(value, "oci", "/tmp/a"), PermissionDeniedError);
});

Deno.test("parsePolicy() refuses every rule that is not built", () => {
  for (const type of ["signedBy", "sigstoreSigned", "signedBaseLayer", "", undefined]) {
    const rules = [{ type }];
    for (
      const value of [{ default: rules }, { default: ACCEPT, transports: { docker: { a: rules } } }]
    ) {
      assert.throws(() => policy(value), UnimplementedError);
    }
  }
});

Deno.test("parsePolicy() refuses what is not a policy", () => {
  for (
    const value of [
      null,
      [],
      {},
      { default: [] },
      { default: {} },
      { default: [null] },
      { default: ACCEPT, other: 1 },
      { default: ACCEPT, transports: [] },
      { default: ACCEPT, transports: { docker: [] } },
      { default: [{ type: "reject", keyPath: "/x" }] },
    ]
  ) {
    assert.throws(() => policy(value), FailedPreconditionError, JSON.stringify(value));
  }
  assert.throws(() => parsePolicy("{", "/p"), FailedPreconditionError);
});

Deno.test("a policy that is named must be there; a missing default one refuses pulls", async () => {
  await assert.rejects(() => loadPolicy("/nonexistent/policy.json"), FailedPreconditionError);
  const missing = await loadDefaultPolicy("/nonexistent/policy.json");
  assert.throws(
    () => checkPull(missing, parseReference("busybox")),
    (error: unknown) =>
      error instanceof PermissionDeniedError && error.message.includes("no signature policy") &&
      error.details.remedy !== undefined,
  );
});
