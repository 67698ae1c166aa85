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
  parseAttachment,
} from "./attachment_resource.ts";
export { ConntrackFlows } from "./conntrack.ts";
export type { HostPortEntry, HostPorts } from "./host_ports.ts";
export { HostPortLedger, type PortHolder } from "./host_port_ledger.ts";
export {
  HOST_PORTS_KIND,
  hostPortsIntent,
  hostPortsResource,
  parseHostPorts,
} from "./host_ports_resource.ts";
export { ProcListeningSockets } from "./listening_sockets.ts";
export { type HostInterfaces, KernelInterfaces } from "./host_interfaces.ts";
export type { NetworkSelection } from "./network_selection.ts";
export { PodCidrs } from "./pod_cidrs.ts";
export { NetworkHealth } from "./network_health.ts";
export { EnteredInterfaces } from "./pod_interfaces.ts";
export { AskedPluginVersions } from "./plugin_versions.ts";
export { Nft } from "./nft.ts";
export { NftHostPorts } from "./nft_host_ports.ts";
export { CniConfig, type CniConfigOptions } from "./cni_config.ts";
export { CniExec } from "./cni_exec.ts";
export { CniNetworks, type CniNetworksOptions } from "./cni_networks.ts";
export { type OrphanPlugins, ProcOrphanPlugins } from "./orphan_plugins.ts";
export { PluginDirectories, type PluginPaths } from "./plugin_paths.ts";
