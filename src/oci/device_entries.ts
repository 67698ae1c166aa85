/** Devices as one text: `source[:destination][:rwm]`, from the configuration or an annotation. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { cleanPath } from "./container_path.ts";

export interface DeviceEntry {
  readonly hostPath: string;
  /** Below /dev/. */
  readonly containerPath: string;
  /** Of the letters r, w and m. */
  readonly permissions: string;
}

/** More than any pod needs; each is looked up on the node. */
const MAX_DEVICES = 256;

/**
 * @param field named in errors: where the entry is from
 * @throws {InvalidArgumentError} it is of another form, or its destination is not below /dev/
 */
export function parseDeviceEntry(entry: string, field: string): DeviceEntry {
  const [source = "", ...rest] = entry.split(":");
  const permissions = /^[rwm]{1,3}$/.test(rest.at(-1) ?? "") ? rest.pop() ?? "" : "rwm";
  const [destination = source] = rest;
  const fail = (why: string) =>
    new InvalidArgumentError(`Device ${shown(entry)} ${why}`, {
      field,
      value: entry,
      remedy: "write it as /dev/source[:/dev/destination][:rwm]",
    });
  if (rest.length > 1 || new Set(permissions).size !== permissions.length) {
    throw fail("is not of a known form");
  }
  const hostPath = cleanPath(source, field);
  const containerPath = cleanPath(destination, field);
  if (!containerPath.startsWith("/dev/")) throw fail("does not end below /dev/");
  return { hostPath, containerPath, permissions };
}

/**
 * The entries of a devices annotation, separated by commas.
 *
 * @param allowed `allowed_devices`: the only sources that it may name
 * @throws {InvalidArgumentError} as {@link parseDeviceEntry}, or a source is not allowed
 */
export function parseDeviceAnnotation(
  text: string,
  { field, allowed }: { readonly field: string; readonly allowed: readonly string[] },
): DeviceEntry[] {
  const entries = text.split(",").map((entry) => entry.trim()).filter((entry) => entry !== "");
  if (entries.length > MAX_DEVICES) {
    throw new InvalidArgumentError(`${field} names more than ${MAX_DEVICES} devices`, { field });
  }
  return entries.map((entry) => {
    const device = parseDeviceEntry(entry, field);
    if (allowed.includes(device.hostPath)) return device;
    throw new InvalidArgumentError(
      `Device ${shown(device.hostPath)} is not one that a pod may ask for`,
      { field, value: entry, remedy: "leave it out, or add it to allowed_devices of the node" },
    );
  });
}
