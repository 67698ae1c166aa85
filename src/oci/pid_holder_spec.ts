/**
 * The specification of the process that holds a pod's PID namespace, purely. Nothing in it comes from
 * a request or an image but the namespaces and the cgroup.
 *
 * @module
 */
import type { SandboxId } from "../model/mod.ts";
import { buildNamespaces } from "./namespaces.ts";
import { buildKernelPaths } from "./masked_paths.ts";
import type { RuntimeSpec } from "./runtime_spec.ts";
import { buildSeccomp, type SeccompProfile } from "./seccomp.ts";
import type { NamespaceChoice, NodeFacts } from "./spec_inputs.ts";

export interface PidHolderInputs {
  readonly sandboxId: SandboxId;
  /** An empty directory; the runtime makes the mount points in it. */
  readonly rootfs: string;
  /** Host path of a static init that reaps: catatonit. */
  readonly program: string;
  /** Those of the pod; its PID namespace is what the holder makes. */
  readonly namespaces: {
    readonly net: NamespaceChoice;
    readonly ipc: NamespaceChoice;
    readonly uts: NamespaceChoice;
  };
  readonly cgroupPath: string;
  readonly node: Pick<
    NodeFacts,
    "cgroupVersion" | "oomScoreAdjFloor" | "seccomp" | "architecture"
  >;
  /** For its filter; undefined: the one built in. */
  readonly seccomp: SeccompProfile | undefined;
}

/** Where the program is inside. */
const PROGRAM = "/catatonit";
/** As the pause image's user: no account of the node, and nobody's whom the pod's programs run as. */
const HOLDER_ID = 65_535;
/** CRI-O's: after everything else of the pod, and before the runtime. */
const OOM_SCORE_ADJ = -998;
const CPU_SHARES = 2;

/**
 * No capability, no way to gain one, nothing to write, a filter for system calls: whoever shares the
 * namespace can do nothing with this process but end it.
 */
export function buildPidHolderSpec(inputs: PidHolderInputs): RuntimeSpec {
  const { sandboxId, rootfs, program, namespaces, cgroupPath, node } = inputs;
  const seccomp = buildSeccomp({
    request: { kind: "runtime-default" },
    available: node.seccomp,
    runtimeDefault: inputs.seccomp,
    architecture: node.architecture,
    capabilities: [],
  });
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: HOLDER_ID, gid: HOLDER_ID, additionalGids: [] },
      args: [PROGRAM, "-P"],
      env: ["PATH=/"],
      cwd: "/",
      capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
      noNewPrivileges: true,
      oomScoreAdj: Math.max(OOM_SCORE_ADJ, node.oomScoreAdjFloor),
    },
    root: { path: rootfs, readonly: true },
    mounts: [
      {
        destination: "/proc",
        type: "proc",
        source: "proc",
        options: ["nosuid", "noexec", "nodev"],
      },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "noexec", "strictatime", "mode=755", "size=64k"],
      },
      {
        destination: PROGRAM,
        type: "bind",
        source: program,
        options: ["bind", "rprivate", "ro", "nosuid", "nodev"],
      },
    ],
    annotations: {
      "io.container.manager": "cri-o",
      "io.kubernetes.cri-o.ContainerID": sandboxId,
      "io.kubernetes.cri-o.ContainerType": "sandbox",
      "io.kubernetes.cri-o.SandboxID": sandboxId,
    },
    linux: {
      namespaces: buildNamespaces({
        namespaces: { ...namespaces, pid: { kind: "container" } },
        cgroupVersion: node.cgroupVersion,
        privileged: false,
      }),
      cgroupsPath: cgroupPath,
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        cpu: { shares: CPU_SHARES },
      },
      ...(seccomp === undefined ? {} : { seccomp }),
      ...buildKernelPaths(undefined),
    },
  };
}
