/**
 * Root file systems by overlayfs.
 *
 * ```
 * <root>/snapshots/<container id>/upper   the writable layer
 *                                /work    overlayfs's own
 *                                /empty   lower directory of an image without layers
 * ```
 * @module
 */
import type { ContainerId } from "../model/mod.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../sys/mod.ts";
import type { LayerStack } from "./layer_store.ts";
import { checkOverlayPath, checkOverlayWorks, mountOverlay } from "./overlay_mount.ts";
import {
  makeDirectory,
  SnapshotDirectories,
  type SnapshotDirectoriesOptions,
} from "./snapshot_directories.ts";
import type { SnapshotRequest, Snapshots } from "./snapshots.ts";

export interface OverlaySnapshotsOptions extends SnapshotDirectoriesOptions {
  /** Its whiteouts are in overlayfs's own form. */
  readonly layers: LayerStack;
}

/**
 * @throws {FailedPreconditionError} overlay mounts do not work below `root`; says what to do
 */
export async function createOverlaySnapshots(
  options: OverlaySnapshotsOptions,
): Promise<Snapshots> {
  checkOverlayPath(options.runRoot);
  const directories = new SnapshotDirectories(options, "upper");
  await directories.open();
  await checkOverlayWorks(options.kernel, options.root);
  return new OverlaySnapshots(options, directories);
}

class OverlaySnapshots implements Snapshots {
  readonly driver = "overlay";
  readonly prepareDeadlineMs = 60_000;
  readonly #options: OverlaySnapshotsOptions;
  readonly #directories: SnapshotDirectories;

  constructor(options: OverlaySnapshotsOptions, directories: SnapshotDirectories) {
    this.#options = options;
    this.#directories = directories;
  }

  rootfsPath(containerId: ContainerId): string {
    return this.#directories.mountPoint(containerId);
  }

  async prepare(request: SnapshotRequest): Promise<string> {
    const { containerId, top, mountLabel } = request;
    const { kernel, layers } = this.#options;
    const target = this.rootfsPath(containerId);
    if (this.#directories.isMounted(target)) return target;
    const directory = this.#directories.directory(containerId);
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
    this.#directories.changed();
    return target;
  }

  remove(containerId: ContainerId): Promise<void> {
    return this.#directories.remove(containerId);
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
}
