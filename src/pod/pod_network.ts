/** What the network needs to know of a pod. @module */
import type { AttachRequest, PortMapping } from "../network/mod.ts";
import { Protocol } from "../proto/mod.ts";
import type { SandboxRecord } from "./sandbox.ts";

/** Host ports of zero are none: the CRI sends them for container ports without one. */
export function attachRequest(record: SandboxRecord, netnsPath: string): AttachRequest {
  const { config } = record;
  return {
    sandboxId: record.id,
    podName: config.metadata?.name ?? "",
    podNamespace: config.metadata?.namespace ?? "",
    podUid: config.metadata?.uid ?? "",
    netnsPath,
    portMappings: config.portMappings
      .filter((mapping) => mapping.hostPort > 0)
      .map((mapping): PortMapping => ({
        protocol: protocolName(mapping.protocol),
        containerPort: mapping.containerPort,
        hostPort: mapping.hostPort,
        hostIp: mapping.hostIp,
      })),
    annotations: config.annotations,
    cgroupParent: record.cgroupParent,
  };
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
