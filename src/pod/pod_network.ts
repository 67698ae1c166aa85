/** What the network needs to know of a pod. @module */
import type { AttachRequest, NetworkSelection, PortHolder, PortMapping } from "../network/mod.ts";
import { Protocol } from "../proto/mod.ts";
import type { SandboxRecord } from "./sandbox.ts";

export interface PodNetworkFacts {
  readonly netnsPath: string;
  /** False if host ports are left unmapped on this node. */
  readonly hostPortMapping: boolean;
  readonly podCidrs: readonly string[];
  /** Undefined if the pod asks for nothing, or may not. */
  readonly selection: NetworkSelection | undefined;
}

export function attachRequest(
  record: SandboxRecord,
  { netnsPath, hostPortMapping, podCidrs, selection }: PodNetworkFacts,
): AttachRequest {
  const { config } = record;
  return {
    sandboxId: record.id,
    podName: config.metadata?.name ?? "",
    podNamespace: config.metadata?.namespace ?? "",
    podUid: config.metadata?.uid ?? "",
    netnsPath,
    portMappings: hostPortMapping ? hostPortsOf(record) : [],
    annotations: config.annotations,
    cgroupParent: record.cgroupParent,
    podCidrs,
    ...(selection === undefined ? {} : { selection }),
  };
}

/** Host ports of zero are none: the CRI sends them for container ports without one. */
export function hostPortsOf({ config }: SandboxRecord): PortMapping[] {
  return config.portMappings
    .filter((mapping) => mapping.hostPort > 0)
    .map((mapping) => ({
      protocol: protocolName(mapping.protocol),
      containerPort: mapping.containerPort,
      hostPort: mapping.hostPort,
      hostIp: mapping.hostIp,
    }));
}

export function portHolder({ id, config }: SandboxRecord): PortHolder {
  const { namespace = "", name = "" } = config.metadata ?? {};
  return { sandboxId: id, pod: `${namespace}/${name}` };
}

function protocolName(protocol: Protocol): PortMapping["protocol"] {
  switch (protocol) {
    case Protocol.UDP:
      return "udp";
    case Protocol.SCTP:
      return "sctp";
    default:
      return "tcp";
  }
}
