/** Devices as one text: `source[:destination][:rwm]`, from the configuration or an annotation. @module */
import { normalPath } from "./normal_path.ts";

export interface DeviceEntry {
  readonly hostPath: string;
  /** Below /dev/. */
  readonly containerPath: string;
  /** Of the letters r, w and m. */
  readonly permissions: string;
}

/** The device, or what is wrong with the text, as the end of a sentence. */
export function parseDeviceEntry(text: string): DeviceEntry | string {
  const [source = "", ...rest] = text.split(":");
  const permissions = /^[rwm]{1,3}$/.test(rest.at(-1) ?? "") ? rest.pop() ?? "" : "rwm";
  const [destination = source] = rest;
  const [hostPath, containerPath] = [normalPath(source), normalPath(destination)];
  if (
    hostPath === undefined || containerPath === undefined || rest.length > 1 ||
    new Set(permissions).size !== permissions.length
  ) {
    return "must be source[:destination][:rwm] with absolute paths";
  }
  if (!containerPath.startsWith("/dev/")) return "must have its destination below /dev/";
  return { hostPath, containerPath, permissions };
}
