/** CNI attachments in the record: how one is undone, whatever was left half made. @module */
import { InternalError, UnavailableError } from "../errors/mod.ts";
import { type JsonObject, parseSandboxId } from "../model/mod.ts";
import type { ResourceType } from "../state/journal.ts";
import type { Intent } from "../state/steps.ts";
import type { HostPortLedger } from "./host_port_ledger.ts";
import type { HostPorts } from "./host_ports.ts";
import type { AttachRequest, ChosenNetwork, Networks } from "./networks.ts";
import type { OrphanPlugins } from "./orphan_plugins.ts";

export const ATTACHMENT_KIND = "cni-attachment";

export interface AttachmentPayload {
  readonly network: ChosenNetwork;
  readonly request: AttachRequest;
  /** Once the attachment is done. */
  readonly result: JsonObject | undefined;
}

/** The intent of an attachment; the act completes it with `{ result }`. */
export function attachmentIntent(network: ChosenNetwork, request: AttachRequest): Intent {
  return {
    kind: ATTACHMENT_KIND,
    payload: {
      network: { name: network.name, configuration: network.configuration },
      request: {
        ...request,
        portMappings: request.portMappings.map((mapping) => ({ ...mapping })),
        annotations: { ...request.annotations },
        podCidrs: request.podCidrs ?? [],
        selection: { ips: [], mac: "", ...request.selection },
      },
    },
  };
}

export interface AttachmentRooms {
  readonly networks: Pick<Networks, "detach">;
  readonly orphans: OrphanPlugins;
  readonly hostPorts: Pick<HostPorts, "leadTo">;
  readonly ledger: Pick<HostPortLedger, "release">;
}

export function attachmentResource(
  { networks, orphans, hostPorts, ledger }: AttachmentRooms,
): ResourceType<AttachmentPayload> {
  return {
    kind: ATTACHMENT_KIND,
    parse: parseAttachment,
    async undo({ network, request, result }, { resource, sameBoot, signal }) {
      // DEL gives the address to whoever comes next, and the port would lead to them.
      if (hostPorts.leadTo(request.sandboxId)) {
        throw new UnavailableError("Host ports still lead to the pod's address", {
          id: request.sandboxId,
        });
      }
      // The ADD of a process that was killed may still run, and would make again what DEL removes.
      if (sameBoot && resource.state === "intended") {
        await orphans.end(request.sandboxId, signal);
      }
      // After a reboot the namespace is gone and its path may be another pod's; the address is still
      // taken.
      const netnsPath = sameBoot ? request.netnsPath : "";
      await networks.detach(network, { ...request, netnsPath }, result, signal);
      ledger.release(request.sandboxId);
    },
  };
}

/** @throws {InternalError} it is no payload of this kind */
export function parseAttachment(payload: JsonObject): AttachmentPayload {
  const network = objectOf(payload["network"]);
  const request = objectOf(payload["request"]);
  const result = payload["result"];
  if (
    network === undefined || typeof network["name"] !== "string" ||
    objectOf(network["configuration"]) === undefined || request === undefined ||
    typeof request["netnsPath"] !== "string" || !Array.isArray(request["portMappings"])
  ) {
    throw new InternalError("A CNI attachment in the record is not readable", {
      field: ATTACHMENT_KIND,
    });
  }
  return {
    network: network as unknown as ChosenNetwork,
    request: {
      ...(request as unknown as AttachRequest),
      sandboxId: parseSandboxId(String(request["sandboxId"])),
      annotations: (objectOf(request["annotations"]) ?? {}) as Record<string, string>,
    },
    result: objectOf(result),
  };
}

function objectOf(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as JsonObject
    : undefined;
}
