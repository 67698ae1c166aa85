/** `PodSandboxStatus` of a sandbox. @module */
import type { PodSandboxStatusResponse } from "../proto/mod.ts";
import type { StepTiming } from "../state/steps.ts";
import { criSandboxState, sandboxIps, type SandboxRecord } from "./sandbox.ts";

/**
 * Namespace options come back exactly as they were asked for and addresses as the network gave
 * them, after a restart too: the kubelet makes a sandbox anew when either differs.
 *
 * @param timings where the start spent its time, if this process started it
 */
export function sandboxStatus(
  record: SandboxRecord,
  verbose: boolean,
  timings: readonly StepTiming[],
): PodSandboxStatusResponse {
  const { config } = record;
  const [ip = "", ...additional] = sandboxIps(record);
  const options = config.linux?.securityContext?.namespaceOptions;
  return {
    status: {
      id: record.id,
      metadata: config.metadata,
      state: criSandboxState(record),
      createdAt: record.createdAtNs,
      network: { ip, additionalIps: additional.map((address) => ({ ip: address })) },
      linux: { namespaces: { options } },
      labels: config.labels,
      annotations: config.annotations,
      runtimeHandler: record.requestedHandler,
    },
    info: verbose ? { info: JSON.stringify(sandboxInfo(record, timings)) } : {},
    containersStatuses: [],
    timestamp: 0n,
  };
}

function sandboxInfo(record: SandboxRecord, timings: readonly StepTiming[]): object {
  return {
    // Namespaces are pinned by mounts; only a PID namespace needs a process.
    pid: record.state.kind === "ready" ? record.state.pidHolder?.pid ?? 0 : 0,
    runtimeHandler: record.handler,
    cgroupParent: record.cgroupParent,
    namespaces: record.namespaces,
    timings,
  };
}
