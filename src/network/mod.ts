/** Pod networks. @module */
export type {
  Attachment,
  AttachRequest,
  ChosenNetwork,
  NetworkReadiness,
  Networks,
  PortMapping,
} from "./networks.ts";
export {
  ATTACHMENT_KIND,
  attachmentIntent,
  type AttachmentPayload,
  attachmentResource,
} from "./attachment_resource.ts";
export { CniConfig, type CniConfigOptions } from "./cni_config.ts";
export { CniExec } from "./cni_exec.ts";
export { CniNetworks, type CniNetworksOptions } from "./cni_networks.ts";
export { type OrphanPlugins, ProcOrphanPlugins } from "./orphan_plugins.ts";
export { PluginDirectories, type PluginPaths } from "./plugin_paths.ts";
