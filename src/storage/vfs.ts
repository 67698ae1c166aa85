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
import type { LayerStack } from "./layer_store.ts";
import {
  makeDirectory,
  SnapshotDirectories,
  type SnapshotDirectoriesOptions,
} from "./snapshot_directories.ts";
import type { SnapshotRequest, Snapshots } from "./snapshots.ts";

export interface VfsSnapshotsOptions extends SnapshotDirectoriesOptions {
  /** Its whiteouts are in the form of the archives. */
  readonly layers: LayerStack;
}

export async function createVfsSnapshots(options: VfsSnapshotsOptions): Promise<Snapshots> {
  const directories = new SnapshotDirectories(options, "tree");
  await directories.open();
  return new VfsSnapshots(options, directories);
}

interface Copy {
  readonly cancel: AbortController;
  /** Never rejects. */
  readonly ended: Promise<void>;
}

class VfsSnapshots implements Snapshots {
  readonly driver = "vfs";
  /** The largest images have some ten gigabytes. Clients that give up meanwhile join again. */
  readonly prepareDeadlineMs = 15 * 60_000;
  readonly #options: VfsSnapshotsOptions;
  readonly #directories: SnapshotDirectories;
  /** Copies under way: a removal ends them first, or they would go on filling what it empties. */
  readonly #copies = new Map<ContainerId, Copy>();

  constructor(options: VfsSnapshotsOptions, directories: SnapshotDirectories) {
    this.#options = options;
    this.#directories = directories;
  }

  rootfsPath(containerId: ContainerId): string {
    return this.#directories.mountPoint(containerId);
  }

  async prepare({ containerId, top, mountLabel }: SnapshotRequest): Promise<string> {
    if (mountLabel !== undefined && mountLabel !== "") {
      throw new UnimplementedError("The vfs storage driver cannot label root file systems", {
        field: "storage_driver",
        value: "vfs",
        remedy: "use the overlay driver with SELinux",
      });
    }
    const target = this.rootfsPath(containerId);
    if (this.#directories.isMounted(target)) return target;
    const directory = this.#directories.directory(containerId);
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    const tree = `${directory}/tree`;
    if (!await exists(tree)) await this.#copy(containerId, top, `${directory}/.copying`, tree);
    await Deno.mkdir(target, { recursive: true, mode: 0o700 });
    this.#mount(tree, target);
    this.#directories.changed();
    return target;
  }

  async remove(containerId: ContainerId): Promise<void> {
    const copy = this.#copies.get(containerId);
    copy?.cancel.abort();
    await copy?.ended;
    await this.#directories.remove(containerId);
  }

  unmount(containerId: ContainerId): Promise<void> {
    return this.#directories.unmount(containerId);
  }

  list(): Promise<readonly ContainerId[]> {
    return this.#directories.list();
  }

  usage(): ReturnType<Snapshots["usage"]> {
    return this.#directories.usage();
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

  /** As an overlay is mounted: device nodes of the image are without effect. */
  #mount(tree: string, target: string): void {
    const { kernel } = this.#options;
    kernel.mount(tree, target, null, MS_BIND, null);
    kernel.mount("none", target, null, MS_BIND | MS_REMOUNT | MS_NODEV, null);
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
