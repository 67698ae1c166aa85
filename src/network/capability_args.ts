/** `runtimeConfig`: what the runtime tells a plugin that declares a capability (CNI conventions). @module */
import type { JsonObject, JsonValue } from "../model/mod.ts";
import { bandwidthOf } from "./bandwidth.ts";
import type { CniPlugin } from "./cni_list.ts";
import type { AttachRequest } from "./networks.ts";

const POD_ANNOTATIONS = "io.kubernetes.cri.pod-annotations";

/** Values of all capabilities that this pod has something for, by capability. */
export type CapabilityArgs = ReadonlyMap<string, JsonValue>;

/** @throws {InvalidArgumentError} a bandwidth annotation is malformed */
export function capabilityArgs(request: AttachRequest): CapabilityArgs {
  const args = new Map<string, JsonValue>();
  if (request.portMappings.length > 0) {
    args.set(
      "portMappings",
      request.portMappings.map(({ protocol, containerPort, hostPort, hostIp }) => ({
        protocol,
        containerPort,
        hostPort,
        ...(hostIp === "" ? {} : { hostIP: hostIp }),
      })),
    );
  }
  const bandwidth = bandwidthOf(request.annotations);
  if (bandwidth !== undefined) args.set("bandwidth", bandwidth);
  const { podCidrs = [], selection } = request;
  // One set of ranges for each address that the pod gets.
  if (podCidrs.length > 0) args.set("ipRanges", podCidrs.map((subnet) => [{ subnet }]));
  if (selection !== undefined && selection.ips.length > 0) args.set("ips", selection.ips);
  if (selection !== undefined && selection.mac !== "") args.set("mac", selection.mac);
  if (request.cgroupParent !== "") args.set("cgroupPath", request.cgroupParent);
  args.set(POD_ANNOTATIONS, { ...request.annotations });
  return args;
}

/** The part of the arguments that one plugin declared, undefined if it is empty. */
export function runtimeConfigOf(plugin: CniPlugin, args: CapabilityArgs): JsonObject | undefined {
  const declared = [...args].filter(([name]) => plugin.capabilities.has(name));
  return declared.length === 0 ? undefined : Object.fromEntries(declared);
}
