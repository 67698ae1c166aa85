/** Device nodes and device rules of a container. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { LinuxContainerSecurityContext } from "../proto/mod.ts";
import { cleanPath, isAtOrBelow } from "./container_path.ts";
import type { SpecDevice, SpecDeviceRule } from "./runtime_spec.ts";
import type { DeviceNode, ResolvedDevice, SpecInputs } from "./spec_inputs.ts";

export interface BuiltDevices {
  readonly devices: SpecDevice[];
  readonly rules: SpecDeviceRule[];
}

/**
 * Nothing is allowed but what is named (and the standard devices, which the OCI runtime adds); for
 * a privileged container everything is, and it gets the host's nodes.
 *
 * @throws {InvalidArgumentError} a permission or path is wrong, or would hide a device of the host
 */
export function buildDevices(inputs: SpecInputs): BuiltDevices {
  const { container, defaults } = inputs;
  const security = container.linux?.securityContext;
  const privileged = security?.privileged ?? false;
  const owner = defaults.deviceOwnershipFromSecurityContext ? ownerOf(security) : {};
  const byPath = new Map<string, SpecDevice>();
  const rules: SpecDeviceRule[] = [{ allow: privileged, access: "rwm" }];
  for (const device of inputs.nodeDevices) {
    byPath.set(device.containerPath, specDevice(device.node, device.containerPath));
    if (!privileged) rules.push(ruleOf(device));
  }
  if (privileged && !defaults.privilegedWithoutHostDevices) {
    for (const node of inputs.hostDevices) byPath.set(node.path, specDevice(node, node.path));
  }
  for (const device of inputs.devices) {
    const path = checkedPath(device, privileged);
    byPath.set(path, { ...specDevice(device.node, path), ...owner });
    if (!privileged) rules.push(ruleOf(device));
  }
  return { devices: [...byPath.values()], rules };
}

/** The ids that the request states; what it leaves out stays as on the node, as Kubernetes defines it. */
function ownerOf(
  security: LinuxContainerSecurityContext | undefined,
): { readonly uid?: number; readonly gid?: number } {
  const { runAsUser, runAsGroup } = security ?? {};
  return {
    ...(runAsUser === undefined ? {} : { uid: Number(runAsUser.value) }),
    ...(runAsGroup === undefined ? {} : { gid: Number(runAsGroup.value) }),
  };
}

function specDevice(node: DeviceNode, path: string): SpecDevice {
  const { type, major, minor, mode, uid, gid } = node;
  return { path, type, major, minor, fileMode: mode, uid, gid };
}

function checkedPath(device: ResolvedDevice, privileged: boolean): string {
  const field = "config.devices.container_path";
  const path = cleanPath(device.containerPath, field);
  if (path === "/") {
    throw new InvalidArgumentError(
      `Device ${shown(device.node.path)} has no path in the container`,
      {
        field,
        value: device.containerPath,
      },
    );
  }
  if (
    privileged && device.shadowsHostDevice && isAtOrBelow(path, "/dev") && path !== device.node.path
  ) {
    throw new InvalidArgumentError(
      `Device ${shown(device.node.path)} would hide the host's ${
        shown(path)
      } in a privileged container`,
      { field, value: device.containerPath },
    );
  }
  return path;
}

function ruleOf({ node, permissions }: ResolvedDevice): SpecDeviceRule {
  const access = permissions === "" ? "rwm" : permissions;
  if (!/^[rwm]{1,3}$/.test(access) || new Set(access).size !== access.length) {
    throw new InvalidArgumentError(
      `Device permissions ${shown(permissions)} are not of r, w and m`,
      {
        field: "config.devices.permissions",
        value: permissions,
      },
    );
  }
  return { allow: true, type: node.type, major: node.major, minor: node.minor, access };
}
