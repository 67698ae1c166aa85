/**
 * Root file systems of containers: an image's layers below, a writable layer above.
 *
 * @module
 */
import type { ChainId, ContainerId } from "../model/mod.ts";

export interface SnapshotRequest {
  readonly containerId: ContainerId;
  /** Topmost layer of the image; null for an image without layers (an empty directory then). */
  readonly top: ChainId | null;
  /** Mount data appended for SELinux, empty otherwise. */
  readonly mountLabel?: string;
}

export interface FileSystemUsage {
  readonly mountpoint: string;
  readonly usedBytes: bigint;
  readonly inodesUsed: bigint;
}

/**
 * A storage driver. One contract suite (`tests/integration/snapshots_contract.ts`) runs against all.
 * All methods may be repeated; `prepare` of a prepared snapshot returns the same path.
 */
export interface Snapshots {
  /** `overlay`, `vfs`: the name of `storage_driver`. */
  readonly driver: string;
  /** How long {@link prepare} may take: a mount is quick, a copy depends on the image. */
  readonly prepareDeadlineMs: number;
  /** Where the root file system of a container is, mounted or not. */
  rootfsPath(containerId: ContainerId): string;
  /** Makes the writable layer and mounts the whole; returns the root file system's path. */
  prepare(request: SnapshotRequest): Promise<string>;
  /** Unmounts and removes the writable layer; succeeds if there is none. */
  remove(containerId: ContainerId): Promise<void>;
  /** Unmounts, keeping the writable layer (after a reboot it is not mounted anyway). */
  unmount(containerId: ContainerId): Promise<void>;
  /** Containers that have a writable layer on disk. */
  list(): Promise<readonly ContainerId[]>;
  /** Bytes and inodes of the image layers, and of all writable layers. */
  usage(): Promise<{ readonly images: FileSystemUsage; readonly containers: FileSystemUsage }>;
}
