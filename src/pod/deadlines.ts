/**
 * How long each stage of a pod's life may take. A stage past its deadline is ended and undone, and
 * the name is free again: no request waits for ever and none blocks the next.
 *
 * @module
 */

export interface PodDeadlines {
  /** Directories, small files and mounts on our own file systems. */
  readonly filesMs: number;
  /**
   * Three namespaces and their sysctls; measured at 2 ms, but on a node that is starved of processors, or
   * takes many network namespaces down, their thread and the kernel's lock may be waited for long. Below
   * the two minutes after which the kubelet gives a request up: it is to hear which stage it was.
   */
  readonly namespacesMs: number;
  /** Starting the holder of a PID namespace; measured at 50 ms. */
  readonly pidHolderMs: number;
  /** A CNI chain: plugins may ask a server for an address. */
  readonly networkMs: number;
  /** Paths of the host that a container mounts: may be on a dead network file system. */
  readonly hostPathsMs: number;
  /** The runtime's start command. */
  readonly startMs: number;
  /** The runtime's update command; the kernel may have to reclaim memory. */
  readonly updateMs: number;
}

export const POD_DEADLINES: PodDeadlines = {
  filesMs: 30_000,
  namespacesMs: 90_000,
  pidHolderMs: 60_000,
  networkMs: 120_000,
  hostPathsMs: 30_000,
  startMs: 60_000,
  updateMs: 30_000,
};

/** From the stop signal to SIGKILL when a whole sandbox is stopped: the CRI asks for a forcible end. */
export const SANDBOX_STOP_GRACE_MS = 1_000;
/** The same when a container that still runs is removed. */
export const REMOVE_GRACE_MS = 10_000;
