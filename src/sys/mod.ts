/**
 * The door of `sys/`: the only room that calls libc, starts programs and watches the kernel.
 *
 * @module
 */
export { workerUrl } from "./workers.ts";
export {
  type CallOptions,
  type EventOf,
  type ReplyOf,
  type RequestOf,
  WorkerChannel,
  type WorkerOperations,
  type WorkerOptions,
} from "./worker_channel.ts";
export { WorkerPool, type WorkerPoolOptions } from "./worker_pool.ts";
export { type CallContext, serveWorker, workerData, type WorkerHandlers } from "./worker_host.ts";
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
export type { NamespaceRequest, Namespaces, PinnableNamespace } from "./namespaces.ts";
export type {
  Command,
  CommandResult,
  ProcessRunner,
  SpawnCommand,
  SpawnedProcess,
} from "./process_runner.ts";
export type {
  FileEvent,
  FileWatcher,
  ProcessIdentity,
  ProcessTable,
  ProcessWatcher,
} from "./watching.ts";
