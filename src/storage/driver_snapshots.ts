/**
 * Root file systems by a storage driver: where they lie, whatever the driver puts there, and their
 * life from the first file to the last.
 *
 * ```
 * <root>/snapshots/<container id>/            the driver's files
 *                 /.old-<container id>/       the same while it is removed
 * <runRoot>/snapshots/<container id>/rootfs   where the whole is mounted
 * ```
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { type ContainerId, parseContainerId } from "../model/mod.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, type Kernel } from "../sys/mod.ts";
import type { LayerStack } from "./layer_store.ts";
import type { SnapshotRequest, Snapshots } from "./snapshots.ts";
import type { StorageWorkers } from "./storage_workers.ts";
import { WritableUsage } from "./writable_usage.ts";

export interface SnapshotsOptions {
  /** Lasting state: writable layers lie below it, on the file system of the layers. */
  readonly root: string;
  /** State of one boot: mounts lie below it. */
  readonly runRoot: string;
  /** With whiteouts in the form that the driver wants. */
  readonly layers: LayerStack;
  readonly workers: StorageWorkers;
  readonly kernel: Kernel;
}

/** What one driver does in its own way. */
export interface SnapshotDriver {
  readonly name: string;
  /** As {@link Snapshots.prepareDeadlineMs}. */
  readonly prepareDeadlineMs: number;
  /** The folder in a snapshot that a container writes to. */
  readonly writable: string;
  /**
   * Makes what is missing of the snapshot's files in `directory`, and mounts the whole on `target`;
   * both are there.
   */
  mount(request: SnapshotRequest, directory: string, target: string): Promise<void>;
  /** Ends what is under way for a snapshot that is about to be removed. */
  abandon?(containerId: ContainerId): Promise<void>;
}

export class DriverSnapshots implements Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #driver: SnapshotDriver;
  readonly #base: string;
  readonly #usage: WritableUsage;

  private constructor(options: SnapshotsOptions, driver: SnapshotDriver) {
    this.#options = options;
    this.#driver = driver;
    this.#base = `${options.root}/snapshots`;
    this.#usage = new WritableUsage({
      list: async () =>
        (await this.list()).map((id) => `${this.#directory(id)}/${driver.writable}`),
      measure: (paths) => options.workers.disk("measure", { paths }),
    });
  }

  /** Makes the base and finishes removals that a crash cut short. */
  static async open(options: SnapshotsOptions, driver: SnapshotDriver): Promise<Snapshots> {
    const snapshots = new DriverSnapshots(options, driver);
    await Deno.mkdir(snapshots.#base, { recursive: true, mode: 0o700 });
    for await (const { name } of Deno.readDir(snapshots.#base)) {
      if (!name.startsWith(".old-")) continue;
      await options.workers.disk("remove", { path: `${snapshots.#base}/${name}` });
    }
    return snapshots;
  }

  get driver(): string {
    return this.#driver.name;
  }

  get prepareDeadlineMs(): number {
    return this.#driver.prepareDeadlineMs;
  }

  rootfsPath(containerId: ContainerId): string {
    return `${this.#mountParent(containerId)}/rootfs`;
  }

  async prepare(request: SnapshotRequest): Promise<string> {
    const target = this.rootfsPath(request.containerId);
    if (this.#isMounted(target)) return target;
    const directory = this.#directory(request.containerId);
    for (const path of [directory, target]) {
      await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    }
    await this.#driver.mount(request, directory, target);
    this.#usage.changed();
    return target;
  }

  async remove(containerId: ContainerId): Promise<void> {
    await this.#driver.abandon?.(containerId);
    await this.unmount(containerId);
    const removing = `${this.#base}/.old-${containerId}`;
    const { workers } = this.#options;
    // A rename takes it out of the list at once; the bytes follow.
    await workers.disk("remove", { path: removing });
    try {
      await Deno.rename(this.#directory(containerId), removing);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    await workers.disk("remove", { path: removing });
    this.#usage.changed();
  }

  async unmount(containerId: ContainerId): Promise<void> {
    const { workers } = this.#options;
    const target = this.rootfsPath(containerId);
    if (this.#isMounted(target)) await workers.disk("unmount", { path: target });
    for (const path of [target, this.#mountParent(containerId)]) {
      try {
        // Never recursive: what is still mounted there must not be emptied.
        await Deno.remove(path);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }

  async list(): Promise<readonly ContainerId[]> {
    const ids: ContainerId[] = [];
    for await (const { name } of Deno.readDir(this.#base)) {
      if (!name.startsWith(".")) ids.push(parseContainerId(name));
    }
    return ids.sort();
  }

  async usage(): ReturnType<Snapshots["usage"]> {
    const { root, layers } = this.#options;
    const images = layers.total();
    const containers = await this.#usage.get();
    return {
      images: { mountpoint: root, usedBytes: images.bytes, inodesUsed: BigInt(images.inodes) },
      containers: {
        mountpoint: root,
        usedBytes: containers.bytes,
        inodesUsed: BigInt(containers.inodes),
      },
    };
  }

  #isMounted(path: string): boolean {
    const { kernel } = this.#options;
    try {
      const at = kernel.statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
      const above = kernel.statx(
        AT_FDCWD,
        path.slice(0, path.lastIndexOf("/")),
        AT_SYMLINK_NOFOLLOW,
      );
      return at.mountId !== above.mountId;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  #directory(containerId: ContainerId): string {
    return `${this.#base}/${containerId}`;
  }

  #mountParent(containerId: ContainerId): string {
    return `${this.#options.runRoot}/snapshots/${containerId}`;
  }
}

/** True if it was made, false if it was there. */
export async function makeDirectory(path: string, mode: number): Promise<boolean> {
  try {
    await Deno.mkdir(path);
    // Exactly this mode, whatever the umask.
    await Deno.chmod(path, mode);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}
