/** Its golden file is refreshed like those of `spec_builder_test.ts`. */
import assert from "node:assert/strict";
import { parseSandboxId } from "../model/mod.ts";
import { buildPidHolderSpec, type PidHolderInputs } from "./pid_holder_spec.ts";
import { encodeSpec } from "./runtime_spec.ts";
import type { SeccompProfile } from "./seccomp.ts";

/** A profile short enough to read in the golden file. */
const SECCOMP: SeccompProfile = {
  defaultAction: "SCMP_ACT_ERRNO",
  syscalls: [
    {
      names: ["read", "pause"],
      action: "SCMP_ACT_ALLOW",
      args: [],
      includes: { arches: [], caps: [] },
      excludes: { arches: [], caps: [] },
    },
    {
      names: ["mount"],
      action: "SCMP_ACT_ALLOW",
      args: [],
      includes: { arches: [], caps: ["CAP_SYS_ADMIN"] },
      excludes: { arches: [], caps: [] },
    },
  ],
};

const INPUTS: PidHolderInputs = {
  sandboxId: parseSandboxId("b".repeat(64)),
  rootfs: "/run/sauropod/pods/b/pid-holder/rootfs",
  program: "/usr/bin/catatonit",
  namespaces: {
    net: { kind: "pinned", path: "/ns/netns/b" },
    ipc: { kind: "pinned", path: "/ns/ipcns/b" },
    uts: { kind: "pinned", path: "/ns/utsns/b" },
  },
  cgroupPath: "/kubepods/b/crio-b",
  node: { cgroupVersion: 2, oomScoreAdjFloor: -1000, seccomp: true, architecture: "amd64" },
  seccomp: SECCOMP,
};

Deno.test("the specification of a PID namespace's holder is as its golden file", async () => {
  const file = new URL("./testdata/pid-holder/spec.json", import.meta.url);
  const text = `${JSON.stringify(JSON.parse(encodeSpec(buildPidHolderSpec(INPUTS))), null, 2)}\n`;
  if (Deno.args.includes("--update")) await Deno.writeTextFile(file, text);
  assert.equal(text, await Deno.readTextFile(file));
});

Deno.test("the holder is in the node's namespaces where its pod is, and no lower than it may be", () => {
  const spec = buildPidHolderSpec({
    ...INPUTS,
    namespaces: { net: { kind: "host" }, ipc: { kind: "host" }, uts: INPUTS.namespaces.uts },
    node: { ...INPUTS.node, cgroupVersion: 1, oomScoreAdjFloor: -17, seccomp: false },
  });
  assert.deepEqual(spec.linux.namespaces.map(({ type }) => type), ["pid", "uts", "mount"]);
  assert.equal(spec.process.oomScoreAdj, -17);
  assert.equal(spec.linux.seccomp, undefined);
});
