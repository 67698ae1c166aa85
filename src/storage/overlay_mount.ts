/**
 * Mount data for overlayfs, and the test that it works here.
 *
 * @module
 */
import {
  errorMessage,
  FailedPreconditionError,
  InternalError,
  isErrno,
  shown,
} from "../errors/mod.ts";
import {
  type Fd,
  type Kernel,
  MS_NODEV,
  O_DIRECTORY,
  O_PATH,
  UMOUNT_NOFOLLOW,
} from "../sys/mod.ts";
import { MAX_LAYERS } from "./limits.ts";

export interface OverlayMount {
  /** Topmost first; at least one. */
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
  /** SELinux context for all files, empty or missing for none. */
  readonly label?: string;
}

/** mount(2) takes one page of data. */
const MAX_DATA_BYTES = 4096 - 1;

/**
 * What overlayfs may do beyond its simplest form is set, not left to the kernel's configuration:
 * - `index=off`: no file handles in the work directory, which would tie a snapshot to this very mount;
 * - `metacopy=off`, `redirect_dir=nofollow`: attributes in a layer must not be able to name other files;
 * - not `volatile`: a container's files survive a power cut as far as they were synced.
 */
const OPTIONS = "index=off,metacopy=off,redirect_dir=nofollow";

/** Characters that separate parts of the mount data. */
const SEPARATORS = /[,:\\"\s]/;

/** @throws {FailedPreconditionError} the path cannot stand in mount data */
export function checkOverlayPath(path: string): void {
  if (!SEPARATORS.test(path)) return;
  throw new FailedPreconditionError(
    `Cannot use ${
      shown(path)
    } for overlay mounts: it holds a space, comma, colon, quote or backslash`,
    { path, remedy: "choose a root directory without these characters" },
  );
}

/**
 * Mounts an overlay on the calling thread. Device nodes in it are without effect: a container's own
 * are in its /dev, a mount of its own.
 *
 * @throws {SyscallError} the kernel refused
 */
export function mountOverlay(kernel: Kernel, mount: OverlayMount): void {
  if (mount.lower.length > MAX_LAYERS) {
    throw new InternalError(`An overlay of ${mount.lower.length} layers is above ${MAX_LAYERS}`);
  }
  const plain = mountData(mount, mount.lower, mount.upper, mount.work);
  if (plain.length <= MAX_DATA_BYTES) {
    kernel.mount("overlay", mount.target, "overlay", MS_NODEV, plain);
    return;
  }
  // Many layers: descriptors name their directories in fewer bytes, 128 of them in half a page.
  using open = new DisposableStack();
  const short = (path: string): string => {
    const fd: Fd = open.use(kernel.open(path, O_PATH | O_DIRECTORY));
    return `/proc/self/fd/${fd.number}`;
  };
  const data = mountData(mount, mount.lower.map(short), mount.upper, mount.work);
  kernel.mount("overlay", mount.target, "overlay", MS_NODEV, data);
}

function mountData(
  { label }: OverlayMount,
  lower: readonly string[],
  upper: string,
  work: string,
): string {
  const data = `${OPTIONS},lowerdir=${lower.join(":")},upperdir=${upper},workdir=${work}`;
  if (label === undefined || label === "") return data;
  if (/["\\]/.test(label)) {
    throw new InternalError(`The mount label ${shown(label)} holds a quote or backslash`);
  }
  return `${data},context="${label}"`;
}

/**
 * Mounts a trial overlay below a directory and takes it away again. On a full disk nothing can be tried,
 * and nothing is made either until there is space: then the start goes on without.
 *
 * @throws {FailedPreconditionError} overlayfs does not work there; says what to do
 */
export async function checkOverlayWorks(kernel: Kernel, root: string): Promise<void> {
  checkOverlayPath(root);
  try {
    await tryOverlay(kernel, root);
  } catch (error) {
    if (!isNoSpace(error) && !isNoSpace((error as Error).cause)) throw error;
  }
}

function isNoSpace(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return code === "ENOSPC" || code === "EDQUOT" || isErrno(error, "ENOSPC", "EDQUOT");
}

async function tryOverlay(kernel: Kernel, root: string): Promise<void> {
  const trial = await Deno.makeTempDir({ dir: root, prefix: ".overlay-trial-" });
  try {
    const [lower, upper, work, target] = ["lower", "upper", "work", "target"].map((name) =>
      `${trial}/${name}`
    );
    if (
      lower === undefined || upper === undefined || work === undefined || target === undefined
    ) return;
    for (const directory of [lower, upper, work, target]) await Deno.mkdir(directory);
    await Deno.writeTextFile(`${lower}/file`, "");
    try {
      mountOverlay(kernel, { lower: [lower], upper, work, target });
      try {
        // Makes a whiteout, which some file systems cannot hold.
        await Deno.remove(`${target}/file`);
      } finally {
        kernel.umount2(target, UMOUNT_NOFOLLOW);
      }
    } catch (cause) {
      throw new FailedPreconditionError(
        `Overlay mounts do not work below ${root}: ${errorMessage(cause)}`,
        {
          path: root,
          cause,
          remedy:
            "load the overlay module, and put the root directory on ext4, xfs (ftype=1) or btrfs, not on an overlay",
        },
      );
    }
  } finally {
    await Deno.remove(trial, { recursive: true });
  }
}
