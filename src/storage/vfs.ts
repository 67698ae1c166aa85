/**
 * Root file systems by copying an image's layers: for file systems that overlayfs cannot stand on, such
 * as an overlay. Slow and large, except where the file system shares copied blocks (btrfs, xfs).
 *
 * ```
 * <root>/snapshots/<container id>/tree      all files: the image's and what the container changed
 *                                /.copying  the same until the copy is complete
 * ```
 * @module
 */
import { UnimplementedError } from "../errors/mod.ts";
import type { ChainId, ContainerId } from "../model/mod.ts";
import { MS_BIND, MS_NODEV, MS_REMOUNT } from "../sys/mod.ts";
import {
  DriverSnapshots,
  makeDirectory,
  type SnapshotDriver,
  type SnapshotsOptions,
} from "./driver_snapshots.ts";
import type { SnapshotRequest, Snapshots } from "./snapshots.ts";

/** @param options its layers have whiteouts in the form of the archives */
export function createVfsSnapshots(options: SnapshotsOptions): Promise<Snapshots> {
  return DriverSnapshots.open(options, new VfsDriver(options));
}

interface Copy {
  readonly cancel: AbortController;
  /** Never rejects. */
  readonly ended: Promise<void>;
}

class VfsDriver implements SnapshotDriver {
  readonly name = "vfs";
  /** The largest images have some ten gigabytes. Clients that give up meanwhile join again. */
  readonly prepareDeadlineMs = 15 * 60_000;
  readonly writable = "tree";
  readonly #options: Pick<SnapshotsOptions, "layers" | "workers" | "kernel">;
  /** Copies under way: a removal ends them first, or they would go on filling what it empties. */
  readonly #copies = new Map<ContainerId, Copy>();

  constructor(options: Pick<SnapshotsOptions, "layers" | "workers" | "kernel">) {
    this.#options = options;
  }

  async mount(
    { containerId, top, mountLabel }: SnapshotRequest,
    directory: string,
    target: string,
  ): Promise<void> {
    if (mountLabel !== undefined && mountLabel !== "") {
      throw new UnimplementedError("The vfs storage driver cannot label root file systems", {
        field: "storage_driver",
        value: "vfs",
        remedy: "use the overlay driver with SELinux",
      });
    }
    const tree = `${directory}/tree`;
    if (!await exists(tree)) await this.#copy(containerId, top, `${directory}/.copying`, tree);
    const { kernel } = this.#options;
    // As an overlay is mounted: device nodes of the image are without effect.
    kernel.mount(tree, target, null, MS_BIND, null);
    kernel.mount("none", target, null, MS_BIND | MS_REMOUNT | MS_NODEV, null);
  }

  async abandon(containerId: ContainerId): Promise<void> {
    const copy = this.#copies.get(containerId);
    copy?.cancel.abort();
    await copy?.ended;
  }

  async #copy(
    containerId: ContainerId,
    top: ChainId | null,
    copying: string,
    tree: string,
  ): Promise<void> {
    const { layers, workers } = this.#options;
    await workers.disk("remove", { path: copying });
    await makeDirectory(copying, 0o755);
    if (top !== null) {
      const cancel = new AbortController();
      const merged = workers.merge({
        layers: layers.lowerDirectories(top).toReversed(),
        rootTemplate: layers.rootTemplate(top),
        target: copying,
      }, cancel.signal);
      const ended = merged.then(() => {}, () => {});
      this.#copies.set(containerId, { cancel, ended });
      try {
        await merged;
      } finally {
        this.#copies.delete(containerId);
      }
    }
    await Deno.rename(copying, tree);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
