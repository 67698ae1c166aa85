/** `PodSandboxStatus` of a sandbox. @module */
import type { LinuxContainerResources, PodSandboxStatus } from "../proto/mod.ts";
import type { StepTiming } from "../state/steps.ts";
import { criSandboxState, sandboxIps, type SandboxRecord, sandboxResources } from "./sandbox.ts";

/**
 * Namespace options come back exactly as they were asked for and addresses as the network gave
 * them, after a restart too: the kubelet makes a sandbox anew when either differs.
 */
export function sandboxStatus(record: SandboxRecord): PodSandboxStatus {
  const { config } = record;
  const [ip = "", ...additional] = sandboxIps(record);
  const options = config.linux?.securityContext?.namespaceOptions;
  return {
    id: record.id,
    metadata: config.metadata,
    state: criSandboxState(record),
    createdAt: record.createdAtNs,
    network: { ip, additionalIps: additional.map((address) => ({ ip: address })) },
    linux: { namespaces: { options } },
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: record.requestedHandler,
  };
}

/**
 * The verbose part of the answer.
 *
 * @param timings where the start spent its time, if this process started it
 */
export function sandboxInfo(record: SandboxRecord, timings: readonly StepTiming[]): object {
  const { overhead, resources } = sandboxResources(record);
  return {
    // Namespaces are pinned by mounts; only a PID namespace needs a process.
    pid: record.state.kind === "ready" ? record.state.pidHolder?.pid ?? 0 : 0,
    runtimeHandler: record.handler,
    cgroupParent: record.cgroupParent,
    namespaces: record.namespaces,
    overhead: limits(overhead),
    resources: limits(resources),
    timings,
  };
}

/** The kernel's units and names as in the request; numbers of 64 bits as text, as JSON has none. */
function limits(given: LinuxContainerResources | undefined): object | null {
  if (given === undefined) return null;
  return {
    cpuPeriod: String(given.cpuPeriod),
    cpuQuota: String(given.cpuQuota),
    cpuShares: String(given.cpuShares),
    memoryLimitInBytes: String(given.memoryLimitInBytes),
    memorySwapLimitInBytes: String(given.memorySwapLimitInBytes),
    oomScoreAdj: String(given.oomScoreAdj),
    cpusetCpus: given.cpusetCpus,
    cpusetMems: given.cpusetMems,
    hugepageLimits: given.hugepageLimits.map(({ pageSize, limit }) => ({
      pageSize,
      limit: String(limit),
    })),
    unified: given.unified,
  };
}
