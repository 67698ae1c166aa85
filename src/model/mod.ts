/** The vocabulary that every room shares: identities, time, quantities, JSON. @module */
export type { ByteSink, ByteSource, ClientStreams, TerminalSize } from "./byte_streams.ts";
export * from "./clock.ts";
export { isCpuList } from "./cpu_list.ts";
export { type DeviceEntry, parseDeviceEntry } from "./device_entry.ts";
export * from "./ids.ts";
export { normalPath } from "./normal_path.ts";
export { isPageSize } from "./page_size.ts";
export { parseQuantity } from "./quantity.ts";
export type { JsonObject, JsonValue } from "./json.ts";
export {
  containerCgroup,
  isScope,
  isSlice,
  monitorScope,
  sliceCgroup,
  specCgroupsPath,
  unitOf,
} from "./systemd_cgroup.ts";
