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
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, type Kernel } from "../sys/mod.ts";
import {
  DriverSnapshots,
  makeDirectory,
  type SnapshotDriver,
  type SnapshotsOptions,
} from "./driver_snapshots.ts";
import type { LayerStack } from "./layer_store.ts";
import { checkOverlayPath, checkOverlayWorks, mountOverlay } from "./overlay_mount.ts";
import type { SnapshotRequest, Snapshots } from "./snapshots.ts";

/**
 * @param options its layers have whiteouts in overlayfs's own form
 * @throws {FailedPreconditionError} overlay mounts do not work below `root`; says what to do
 */
export async function createOverlaySnapshots(options: SnapshotsOptions): Promise<Snapshots> {
  checkOverlayPath(options.runRoot);
  const snapshots = await DriverSnapshots.open(options, new OverlayDriver(options));
  await checkOverlayWorks(options.kernel, options.root);
  return snapshots;
}

class OverlayDriver implements SnapshotDriver {
  readonly name = "overlay";
  readonly prepareDeadlineMs = 60_000;
  readonly writable = "upper";
  readonly #layers: LayerStack;
  readonly #kernel: Kernel;

  constructor({ layers, kernel }: Pick<SnapshotsOptions, "layers" | "kernel">) {
    this.#layers = layers;
    this.#kernel = kernel;
  }

  async mount(
    { top, mountLabel }: SnapshotRequest,
    directory: string,
    target: string,
  ): Promise<void> {
    const empty = `${directory}/empty`;
    const lower = top === null ? [empty] : this.#layers.lowerDirectories(top);
    if (top === null) await makeDirectory(empty, 0o755);
    await this.#makeUpper(directory, top === null ? empty : this.#layers.rootTemplate(top));
    mountOverlay(this.#kernel, {
      lower,
      upper: `${directory}/upper`,
      work: `${directory}/work`,
      target,
      ...(mountLabel === undefined ? {} : { label: mountLabel }),
    });
  }

  /** The root that a container sees has the attributes of the upper directory: those of the image's root. */
  async #makeUpper(directory: string, template: string): Promise<void> {
    const upper = `${directory}/upper`;
    if (await makeDirectory(upper, 0o700)) {
      const { mode, uid, gid } = this.#kernel.statx(AT_FDCWD, template, AT_SYMLINK_NOFOLLOW);
      await Deno.chown(upper, uid, gid);
      await Deno.chmod(upper, mode);
    }
    await makeDirectory(`${directory}/work`, 0o700);
  }
}
