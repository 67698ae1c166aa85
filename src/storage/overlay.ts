/**
 * Root file systems by overlayfs.
 *
 * ```
 * <root>/snapshots/<container id>/upper   the writable layer
 *                                /work    overlayfs's own
 *                                /empty   lower directory of an image without layers
 * <runRoot>/snapshots/<container id>/rootfs   where the whole is mounted
 * ```
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { type ContainerId, parseContainerId } from "../model/mod.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, type Kernel } from "../sys/mod.ts";
import type { LayerStack } from "./layer_store.ts";
import { checkOverlayPath, checkOverlayWorks, mountOverlay } from "./overlay_mount.ts";
import type { FileSystemUsage, SnapshotRequest, Snapshots } from "./snapshots.ts";
import type { StorageWorkers } from "./storage_workers.ts";
import { WritableUsage } from "./writable_usage.ts";

export interface OverlaySnapshotsOptions {
  /** Lasting state: writable layers lie below it, on the file system of the layers. */
  readonly root: string;
  /** State of one boot: mounts lie below it. */
  readonly runRoot: string;
  readonly layers: LayerStack;
  readonly workers: StorageWorkers;
  readonly kernel: Kernel;
}

/**
 * @throws {FailedPreconditionError} overlay mounts do not work below `root`; says what to do
 */
export async function createOverlaySnapshots(
  options: OverlaySnapshotsOptions,
): Promise<Snapshots> {
  checkOverlayPath(options.runRoot);
  await Deno.mkdir(`${options.root}/snapshots`, { recursive: true, mode: 0o700 });
  await checkOverlayWorks(options.kernel, options.root);
  const snapshots = new OverlaySnapshots(options);
  await snapshots.removeLeftovers();
  return snapshots;
}

class OverlaySnapshots implements Snapshots {
  readonly driver = "overlay";
  readonly #options: OverlaySnapshotsOptions;
  readonly #base: string;
  readonly #usage: WritableUsage;

  constructor(options: OverlaySnapshotsOptions) {
    this.#options = options;
    this.#base = `${options.root}/snapshots`;
    this.#usage = new WritableUsage({
      list: async () => (await this.list()).map((id) => `${this.#directory(id)}/upper`),
      measure: (paths) => options.workers.disk("measure", { paths }),
    });
  }

  rootfsPath(containerId: ContainerId): string {
    return `${this.#mountParent(containerId)}/rootfs`;
  }

  async prepare(request: SnapshotRequest): Promise<string> {
    const { containerId, top, mountLabel } = request;
    const { kernel, layers } = this.#options;
    const target = this.rootfsPath(containerId);
    if (this.#isMounted(target)) return target;
    const directory = this.#directory(containerId);
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    const empty = `${directory}/empty`;
    const lower = top === null ? [empty] : layers.lowerDirectories(top);
    if (top === null) await makeDirectory(empty, 0o755);
    await this.#makeUpper(directory, top === null ? empty : layers.rootTemplate(top));
    await Deno.mkdir(target, { recursive: true, mode: 0o700 });
    mountOverlay(kernel, {
      lower,
      upper: `${directory}/upper`,
      work: `${directory}/work`,
      target,
      ...(mountLabel === undefined ? {} : { label: mountLabel }),
    });
    this.#usage.changed();
    return target;
  }

  async remove(containerId: ContainerId): Promise<void> {
    await this.unmount(containerId);
    const directory = this.#directory(containerId);
    const removing = `${this.#base}/.old-${containerId}`;
    const { workers } = this.#options;
    // A rename takes it out of the list at once; the bytes follow.
    await workers.disk("remove", { path: removing });
    try {
      await Deno.rename(directory, removing);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    await workers.disk("remove", { path: removing });
    this.#usage.changed();
  }

  async unmount(containerId: ContainerId): Promise<void> {
    const { workers } = this.#options;
    const parent = this.#mountParent(containerId);
    const target = this.rootfsPath(containerId);
    if (this.#isMounted(target)) await workers.disk("unmount", { path: target });
    for (const path of [target, parent]) {
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

  async usage(): Promise<{ images: FileSystemUsage; containers: FileSystemUsage }> {
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

  /** Finishes removals that a crash cut short. */
  async removeLeftovers(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#base)) {
      if (!name.startsWith(".old-")) continue;
      await this.#options.workers.disk("remove", { path: `${this.#base}/${name}` });
    }
  }

  #directory(containerId: ContainerId): string {
    return `${this.#base}/${containerId}`;
  }

  #mountParent(containerId: ContainerId): string {
    return `${this.#options.runRoot}/snapshots/${containerId}`;
  }

  /** The root that a container sees has the attributes of the upper directory: those of the image's root. */
  async #makeUpper(directory: string, template: string): Promise<void> {
    const upper = `${directory}/upper`;
    if (await makeDirectory(upper, 0o700)) {
      const { mode, uid, gid } = this.#options.kernel.statx(
        AT_FDCWD,
        template,
        AT_SYMLINK_NOFOLLOW,
      );
      await Deno.chown(upper, uid, gid);
      await Deno.chmod(upper, mode);
    }
    await makeDirectory(`${directory}/work`, 0o700);
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
}

/** True if it was made, false if it was there. */
async function makeDirectory(path: string, mode: number): Promise<boolean> {
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
