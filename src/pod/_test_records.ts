/** Records for the tests of this room. @module */
import { newContainerId, newSandboxId, parseImageId, type SandboxId } from "../model/mod.ts";
import { ContainerConfig, PodSandboxConfig } from "../proto/mod.ts";
import type { ContainerRecord, ContainerState } from "./container.ts";
import { newLimits } from "./container_limits.ts";
import type { SandboxRecord, SandboxState } from "./sandbox.ts";

const PROCESS = { pid: 4711, startTime: "100", bootId: "boot" };

export const RUNNING: Extract<ContainerState, { kind: "running" }> = {
  kind: "running",
  init: PROCESS,
  monitor: { ...PROCESS, pid: 4710 },
  startedAtNs: 5n,
};

export function sandboxRecord(
  state: SandboxState,
  config: Parameters<typeof PodSandboxConfig.fromPartial>[0] = {},
): SandboxRecord {
  const id = newSandboxId();
  return {
    id,
    config: PodSandboxConfig.fromPartial(config),
    requestedHandler: "",
    handler: "runc",
    fingerprint: "print",
    createdAtNs: 1n,
    bootId: "boot",
    namespaces: {
      net: { kind: "pinned", path: `/ns/net/${id}` },
      ipc: { kind: "host" },
      uts: { kind: "pinned", path: `/ns/uts/${id}` },
      pid: { kind: "container" },
    },
    cgroupParent: "/parent",
    hostname: "pod",
    state,
  };
}

export function containerRecord(
  state: ContainerState,
  options: { readonly sandboxId?: SandboxId; readonly labels?: Record<string, string> } = {},
): ContainerRecord {
  const id = newContainerId();
  return {
    id,
    sandboxId: options.sandboxId ?? newSandboxId(),
    config: ContainerConfig.fromPartial({
      metadata: { name: "main", attempt: 2 },
      labels: options.labels ?? {},
      envs: [{ key: "A", value: new Uint8Array([0xff, 0]) }],
    }),
    fingerprint: "print",
    createdAtNs: 2n ** 60n,
    bootId: "boot",
    imageId: parseImageId("a".repeat(64)),
    imageRef: "example.org/image@sha256:0",
    imageName: "example.org/image:1",
    place: {
      id,
      bundle: `/run/${id}`,
      logPath: "/log",
      handler: "runc",
      cgroupPath: `/parent/crio-${id}`,
    },
    stopSignal: 15,
    limits: newLimits(undefined),
    user: { uid: 1, gid: 2, additionalGids: [2, 3] },
    state,
  };
}
