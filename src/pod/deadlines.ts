/**
 * How long each stage of a pod's life may take. A stage past its deadline is ended and undone, and
 * the name is free again: no request waits for ever and none blocks the next.
 *
 * @module
 */

export const POD_DEADLINES = {
  /** Directories, small files and mounts on our own file systems. */
  filesMs: 30_000,
  /** Three namespaces and their sysctls; measured at 2 ms. */
  namespacesMs: 30_000,
  /** A CNI chain: plugins may ask a server for an address. */
  networkMs: 120_000,
  /** Mounting an image's layers. */
  rootfsMs: 60_000,
  /** Paths of the host that a container mounts: may be on a dead network file system. */
  hostPathsMs: 30_000,
  /** The runtime's start command. */
  startMs: 60_000,
} as const;

/** From the stop signal to SIGKILL when a whole sandbox is stopped: the CRI asks for a forcible end. */
export const SANDBOX_STOP_GRACE_MS = 1_000;
/** The same when a container that still runs is removed. */
export const REMOVE_GRACE_MS = 10_000;
