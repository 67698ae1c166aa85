/** The vocabulary that every room shares: identities, time, quantities, JSON. @module */
export type { ByteSink, ByteSource, ClientStreams, TerminalSize } from "./byte_streams.ts";
export * from "./clock.ts";
export * from "./ids.ts";
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
