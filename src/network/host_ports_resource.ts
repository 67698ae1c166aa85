/** Opened host ports in the record: how they are closed, whatever was left half made. @module */
import { isIP } from "node:net";
import { InternalError } from "../errors/mod.ts";
import { type JsonObject, type JsonValue, parseSandboxId } from "../model/mod.ts";
import type { ResourceType } from "../state/journal.ts";
import type { Intent } from "../state/steps.ts";
import { isInterfaceName } from "./cni_result.ts";
import type { HostPortEntry, HostPorts, LoopbackRoute, PodAddress } from "./host_ports.ts";
import type { PortMapping } from "./networks.ts";

export const HOST_PORTS_KIND = "host-ports";

export function hostPortsIntent(entry: HostPortEntry): Intent {
  return {
    kind: HOST_PORTS_KIND,
    payload: {
      sandboxId: entry.sandboxId,
      mappings: entry.mappings.map((mapping) => ({ ...mapping })),
      addresses: entry.addresses.map((address) => ({ ...address })),
      loopbackRoutes: entry.loopbackRoutes.map((route) => ({ ...route })),
      bridgePorts: entry.bridgePorts,
    },
  };
}

export function hostPortsResource(ports: Pick<HostPorts, "close">): ResourceType<HostPortEntry> {
  return {
    kind: HOST_PORTS_KIND,
    parse: parseHostPorts,
    async undo({ sandboxId }, { signal }) {
      // Rules of an earlier boot were not taken over at the start, so nothing is done about them.
      await ports.close(sandboxId, signal);
    },
  };
}

/**
 * Checked to the last part: it becomes the text of rules.
 *
 * @throws {InternalError} it is no payload of this kind
 */
export function parseHostPorts(payload: JsonObject): HostPortEntry {
  const { mappings, addresses, loopbackRoutes, bridgePorts } = payload;
  if (
    !Array.isArray(mappings) || !Array.isArray(addresses) || !Array.isArray(loopbackRoutes) ||
    !Array.isArray(bridgePorts)
  ) {
    throw unreadable();
  }
  return {
    sandboxId: parseSandboxId(String(payload["sandboxId"])),
    mappings: mappings.map(mappingOf),
    addresses: addresses.map(addressOf),
    loopbackRoutes: loopbackRoutes.map(routeOf),
    bridgePorts: bridgePorts.map(interfaceOf),
  };
}

function mappingOf(value: JsonValue): PortMapping {
  const { protocol, containerPort, hostPort, hostIp } = objectOf(value);
  if (
    (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") || !isPort(containerPort) ||
    !isPort(hostPort) || typeof hostIp !== "string" || (hostIp !== "" && isIP(hostIp) === 0)
  ) {
    throw unreadable();
  }
  return { protocol, containerPort, hostPort, hostIp };
}

function addressOf(value: JsonValue): PodAddress {
  const { ip, prefix } = objectOf(value);
  const family = typeof ip === "string" ? isIP(ip) : 0;
  if (
    typeof ip !== "string" || family === 0 || typeof prefix !== "number" ||
    !Number.isInteger(prefix) || prefix < 0 || prefix > (family === 4 ? 32 : 128)
  ) {
    throw unreadable();
  }
  return { ip, prefix };
}

function routeOf(value: JsonValue): LoopbackRoute {
  const { interface: name, switchedOn } = objectOf(value);
  if (typeof switchedOn !== "boolean") throw unreadable();
  return { interface: interfaceOf(name ?? null), switchedOn };
}

function interfaceOf(value: JsonValue): string {
  if (typeof value !== "string" || !isInterfaceName(value)) throw unreadable();
  return value;
}

function isPort(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= 65_535;
}

function objectOf(value: JsonValue): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw unreadable();
  return value as JsonObject;
}

function unreadable(): InternalError {
  return new InternalError("Host ports in the record are not readable", { field: HOST_PORTS_KIND });
}
