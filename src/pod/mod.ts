/** Pods and containers: their records, their life cycles, their recovery. @module */
export { Bundles } from "./bundle.ts";
export type {
  AppArmorProfiles,
  BundleOptions,
  HostDevices,
  ImageVolumes,
  RootfsFiles,
} from "./bundle.ts";
export { ContainerCreator } from "./container_creator.ts";
export { ContainerLogs } from "./container_logs.ts";
export { ContainerStopper } from "./container_stop.ts";
export { ContainerUpdater } from "./container_update.ts";
export { Containers } from "./containers.ts";
export type { ContainersOptions } from "./containers.ts";
export { type DefaultMount, parseDefaultMounts } from "./default_mounts.ts";
export { POD_DEADLINES } from "./deadlines.ts";
export type { PodDeadlines } from "./deadlines.ts";
export { PodEvents } from "./events.ts";
export { ExitTracker } from "./exits.ts";
export { HostPaths } from "./host_paths.ts";
export type { AbandonableFiles } from "./host_paths.ts";
export { PidHolders } from "./pid_holders.ts";
export { PodLayout } from "./layout.ts";
export { KeyedMutex } from "./mutex.ts";
export { EtcFiles } from "./node_files.ts";
export { BackgroundMirror } from "./record_mirror.ts";
export type { RecordCopies } from "./record_mirror.ts";
export { recoverPods } from "./recovery.ts";
export type { RecoveryReport } from "./recovery.ts";
export { PodRegistry } from "./registry.ts";
export {
  type PortStreamService,
  type ProcessStreamService,
  StreamSessions,
} from "./stream_sessions.ts";
export { PortForwards } from "./port_forward.ts";
export { PodResources } from "./resources.ts";
export type { PodResourcePorts } from "./resources.ts";
export { Sandboxes } from "./sandboxes.ts";
export type { SandboxesOptions, SandboxSettings } from "./sandboxes.ts";
export type {
  ContainerService,
  CreateContainerRequest,
  EncodedItems,
  EventService,
  RunSandboxRequest,
  SandboxService,
} from "./service.ts";
export { ProcessSessions } from "./process_sessions.ts";
export type { ExecSession, StreamService } from "./streams.ts";
