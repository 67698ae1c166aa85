/** The configuration: its schema, how it is read, judged and printed. @module */
export {
  builtInHandler,
  type Configuration,
  defaultConfiguration,
  type Flavour,
  type HandlerConfiguration,
  type WorkloadConfiguration,
} from "./configuration.ts";
export {
  type ConversionRemark,
  convertConfiguration,
  type ConvertedConfiguration,
} from "./convert.ts";
export { type ConfigurationPlace, DEFAULT_CONFIG_PATH } from "./configuration_files.ts";
export {
  assertUsable,
  loadConfiguration,
  type LoadedConfiguration,
  type LoadOptions,
} from "./load.ts";
export { type ConfigurationPart, LiveConfiguration, type ReloadReport } from "./live.ts";
export { allKeys, type Notice, type Source } from "./merged.ts";
export type { Key, KeyType, KeyValue, Reload, Standing } from "./keys.ts";
export { localNode, type NodeFacts } from "./node_facts.ts";
export { printConfiguration, type PrintOptions } from "./print.ts";
export { publicView, withoutSecrets } from "./public_view.ts";
export { formatDuration, parseDuration, parseSize } from "./size.ts";
export { parseUlimit } from "./ulimit.ts";
