/**
 * The door of `sys/`: the only room that calls libc, starts programs and watches the kernel.
 *
 * @module
 */
// The kernel
export { limitAllocatorArenas } from "./allocator.ts";
export type {
  EpollEvent,
  Fd,
  FileStat,
  FileSystemStat,
  FileTime,
  Kernel,
  OpenHow,
  PeerCredentials,
} from "./kernel.ts";
export { createLinuxKernel } from "./linux.ts";
export * from "./constants.ts";
export { errnoName, errnoNumber } from "./errno.ts";
export * from "./signals.ts";
export { decodePath, encodePath } from "./bytes_path.ts";

// Workers
export { workerUrl } from "./workers.ts";
export {
  type AnswerOf,
  type CallOptions,
  type EventOf,
  type QuestionOf,
  type ReplyOf,
  type RequestOf,
  WorkerChannel,
  type WorkerOperations,
  type WorkerOptions,
} from "./worker_channel.ts";
export { WorkerPool, type WorkerPoolOptions } from "./worker_pool.ts";
export { type CallContext, serveWorker, workerData, type WorkerHandlers } from "./worker_host.ts";

// Namespaces
export type {
  NamespaceRequest,
  Namespaces,
  NamespaceSocketRequest,
  NamespaceSockets,
  PinnableNamespace,
} from "./namespaces.ts";
export { WorkerNamespaces } from "./worker_namespaces.ts";
export { sysctlPath, Sysctls } from "./sysctl.ts";

// Processes
export type {
  Command,
  CommandResult,
  ExpectedOrphan,
  OrphanKeeper,
  ProcessEnding,
  ProcessRunner,
  SpawnCommand,
  SpawnedProcess,
} from "./process_runner.ts";
export { NodeProcessRunner } from "./child_process.ts";
export { PosixSpawner } from "./posix_spawn.ts";
export { ConsoleSocket } from "./console_socket.ts";
export { parseProcessStat, type ProcessStat, ProcTable } from "./process_table.ts";
export { PidfdWatcher, type PidfdWatcherOptions } from "./process_watcher.ts";
export { closeDebuggerPort } from "./debugger_port.ts";
export { sealDescriptors } from "./seal_descriptors.ts";
export {
  NotifySocket,
  type ServiceEnvironment,
  serviceEnvironment,
  type ServiceState,
} from "./service_manager.ts";

// Kernel events and descriptors on the event loop
export type {
  FileEvent,
  FileWatcher,
  ProcessIdentity,
  ProcessTable,
  ProcessWatcher,
} from "./watching.ts";
export { InotifyWatcher } from "./file_watcher.ts";
export { adoptReader, adoptStream, adoptTcp, descriptorOf } from "./adopted.ts";
export { type TcpAddress, TcpConnections, type TcpConnector } from "./tcp_connections.ts";
export { type ByteDescriptor, ByteDescriptors } from "./byte_descriptors.ts";
export { Listener, type ListenerOptions } from "./listener.ts";
export { type KeepAlive, listenTcp, type TcpListening } from "./tcp_listening.ts";
export { peerOf } from "./peer.ts";

// Files
export { lockDirectory } from "./lock.ts";
export { type NodeAttributes, RootDir } from "./root_dir.ts";
export { removeTree, removeTreeAt } from "./tree.ts";
export {
  type AtomicWriteOptions,
  isTemporaryName,
  syncDirectory,
  writeFileAtomic,
} from "./atomic_file.ts";
export {
  bindMount,
  type BindOptions,
  isMountPoint,
  type MountEntry,
  mountsBelow,
  parseMountInfo,
  readMounts,
  unmount,
  unmountBelow,
} from "./mounts.ts";
export {
  ForeignPaths,
  type ForeignPathsOptions,
  type ForeignStat,
  type PathBelow,
} from "./abandonable.ts";

// The node
export {
  CAPABILITIES,
  capabilitiesOf,
  type Capability,
  parseCapabilitySets,
} from "./capabilities.ts";
export { type CgroupHierarchy, type CgroupLayout, cgroupLayout } from "./cgroup_mounts.ts";
export { Cgroups, type CgroupsOptions } from "./cgroup.ts";
export { detectNodeFacts, type NodeFacts, type NodeFactsOptions } from "./node_facts.ts";
export { hostAddress } from "./host_address.ts";
export { servicePort } from "./service_ports.ts";
export { PrivateSystemd, type SystemdUnits, type TransientScope } from "./systemd.ts";

// For tests
export { failWith, type KernelCall, type KernelScript, recordingKernel } from "./recording.ts";
