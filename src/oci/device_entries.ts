/** Devices that the configuration or an annotation names. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { type DeviceEntry, parseDeviceEntry } from "../model/mod.ts";

/** More than any pod needs; each is looked up on the node. */
const MAX_DEVICES = 256;

/**
 * @param field named in errors: where the entry is from
 * @throws {InvalidArgumentError} it is of another form, or its destination is not below /dev/
 */
export function requireDeviceEntry(entry: string, field: string): DeviceEntry {
  const device = parseDeviceEntry(entry);
  if (typeof device !== "string") return device;
  throw new InvalidArgumentError(`Device ${shown(entry)} ${device}`, {
    field,
    value: entry,
    remedy: "write it as /dev/source[:/dev/destination][:rwm]",
  });
}

/**
 * The entries of a devices annotation, separated by commas.
 *
 * @param allowed `allowed_devices`: the only sources that it may name
 * @throws {InvalidArgumentError} as {@link requireDeviceEntry}, or a source is not allowed
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
    const device = requireDeviceEntry(entry, field);
    if (allowed.includes(device.hostPath)) return device;
    throw new InvalidArgumentError(
      `Device ${shown(device.hostPath)} is not one that a pod may ask for`,
      { field, value: entry, remedy: "leave it out, or add it to allowed_devices of the node" },
    );
  });
}
