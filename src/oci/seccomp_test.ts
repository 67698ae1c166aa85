import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import {
  builtinProfile,
  DISTRIBUTION_PROFILE_PATH,
  distributionProfile,
  parseSeccompProfile,
  resolveProfile,
} from "./seccomp.ts";

const allowed = (
  profile: ReturnType<typeof builtinProfile>,
  name: string,
  capabilities: string[] = [],
  architecture = "amd64",
) =>
  resolveProfile(profile, { architecture, capabilities }).syscalls
    .filter((rule) => rule.names.includes(name) && rule.action === "SCMP_ACT_ALLOW");

function profiles(): [string, ReturnType<typeof builtinProfile>][] {
  const found: [string, ReturnType<typeof builtinProfile>][] = [["the built-in", builtinProfile()]];
  try {
    found.push([
      "the distribution's",
      distributionProfile(
        Deno.readTextFileSync(DISTRIBUTION_PROFILE_PATH),
        DISTRIBUTION_PROFILE_PATH,
      ),
    ]);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found;
}

for (const [which, profile] of profiles()) {
  Deno.test(`${which} profile opens calls only with their capability`, () => {
    assert.ok(allowed(profile, "read").length > 0);
    for (
      const [call, capability] of [
        ["unshare", "CAP_SYS_ADMIN"],
        ["clone3", "CAP_SYS_ADMIN"],
        ["bpf", "CAP_SYS_ADMIN"],
        ["init_module", "CAP_SYS_MODULE"],
        ["open_by_handle_at", "CAP_DAC_READ_SEARCH"],
        ["settimeofday", "CAP_SYS_TIME"],
      ] as const
    ) {
      assert.equal(allowed(profile, call).length, 0, call);
      assert.ok(allowed(profile, call, [capability]).length > 0, call);
    }
    for (const call of ["kexec_load", "userfaultfd", "swapon"]) {
      assert.equal(allowed(profile, call, ["CAP_SYS_ADMIN"]).length, 0, call);
    }
  });

  Deno.test(`${which} profile resolved has no conditions left and names the architectures`, () => {
    const spec = resolveProfile(profile, { architecture: "amd64", capabilities: [] });
    assert.deepEqual(spec.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    for (const rule of spec.syscalls) {
      const keys = Object.keys(rule).filter((key) =>
        !["names", "action", "errnoRet", "args"].includes(key)
      );
      assert.deepEqual(keys, []);
      assert.ok(rule.names.length > 0);
    }
  });
}

for (const [which, profile] of profiles()) {
  Deno.test(`${which} profile lets clone make no namespaces without CAP_SYS_ADMIN`, () => {
    const [rule, ...more] = allowed(profile, "clone");
    assert.deepEqual(more, []);
    assert.deepEqual(rule?.args, [
      { index: 0, value: 0x7e020000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" },
    ]);
    assert.equal(allowed(profile, "clone", ["CAP_SYS_ADMIN"])[0]?.args, undefined);
    const { syscalls } = resolveProfile(profile, { architecture: "amd64", capabilities: [] });
    const clone3 = syscalls.filter(({ names }) => names.includes("clone3"));
    assert.deepEqual(clone3, [{ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 }]);
  });
}

Deno.test("a plain OCI profile passes as it is", () => {
  const text = JSON.stringify({
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64"],
    syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
  });
  const spec = resolveProfile(parseSeccompProfile(text, "x"), {
    architecture: "amd64",
    capabilities: [],
  });
  assert.deepEqual(spec, {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64"],
    syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
  });
});

for (
  const [what, profile] of [
    ["no JSON", "{"],
    ["a list", "[]"],
    ["no default action", "{}"],
    ["an action that is none", '{"defaultAction": "ALLOW"}'],
    ["a notifier", '{"defaultAction": "SCMP_ACT_NOTIFY"}'],
    ["a listener on the host", '{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"}'],
    [
      "an unknown condition",
      '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"x": 1}}]}',
    ],
    [
      "a value that is no integer",
      '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1e300, "op": "x"}]}]}',
    ],
    ["too much text", " ".repeat(1024 * 1024 + 1)],
  ] as const
) {
  Deno.test(`a seccomp profile with ${what} is refused`, () => {
    assert.throws(() => parseSeccompProfile(profile, "/p.json"), (error: Error) => {
      assert.ok(error instanceof InvalidArgumentError);
      assert.match(error.message, /\/p\.json/);
      return true;
    });
  });
}
