/**
 * Copies layers over each other into one tree: what the driver without overlays makes a root file system
 * of. Runs in a worker. The layers are ours and do not change; whiteouts lie in them in the form of the
 * archives (`whiteout_form.ts`).
 *
 * @module
 */
import { CancelledError, isErrno } from "../errors/mod.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  type FileStat,
  type Kernel,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
} from "../sys/mod.ts";
import { removeBelow } from "./_remove_below.ts";
import { isLayerXattr, pathAt, setLayerXattr } from "./layer_xattrs.ts";
import { OPAQUE_NAME, WHITEOUT_PREFIX } from "./whiteouts.ts";

export interface MergeRequest {
  /** Directories of the layers, the lowest first. */
  readonly layers: readonly string[];
  /** Directory whose owner, mode and attributes become the root's. */
  readonly rootTemplate: string;
  /** Directory of ours: there, empty. */
  readonly target: string;
}

/** After so much the worker looks whether it shall go on. */
const ENTRIES_A_TURN = 512;
const COPY_BYTES = 64 << 20;
const BUFFER_BYTES = 1 << 20;

/**
 * @throws {CancelledError} the signal fired; the target is half made
 * @throws {SyscallError} the disk is full, or refuses what a layer holds
 */
export async function mergeLayers(
  kernel: Kernel,
  { layers, rootTemplate, target }: MergeRequest,
  signal: AbortSignal,
): Promise<void> {
  using to = kernel.open(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  for (const layer of layers) {
    using from = kernel.open(layer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    await new LayerCopy(kernel, to.number, signal).copy(from, to);
  }
  using template = kernel.open(rootTemplate, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  describeDirectory(kernel, template.number, to.number);
}

/** A directory under way: its own attributes come last, since what is made in it changes its times. */
interface OpenDirectory {
  readonly from: Fd;
  readonly to: Fd;
  readonly names: string[];
}

class LayerCopy {
  readonly #kernel: Kernel;
  readonly #root: number;
  readonly #signal: AbortSignal;
  /** Where the first name of a file with several was copied to. */
  readonly #linked = new Map<bigint, string>();
  #turn = 0;

  constructor(kernel: Kernel, root: number, signal: AbortSignal) {
    this.#kernel = kernel;
    this.#root = root;
    this.#signal = signal;
  }

  async copy(from: Fd, to: Fd): Promise<void> {
    const path: string[] = [];
    const stack: OpenDirectory[] = [this.#enter(from, to)];
    try {
      for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
        if (++this.#turn % ENTRIES_A_TURN === 0) await this.#pause();
        const name = top.names.pop();
        if (name === undefined) {
          stack.pop();
          path.pop();
          if (stack.length > 0) {
            describeDirectory(this.#kernel, top.from.number, top.to.number);
            top.from.close();
            top.to.close();
          }
          continue;
        }
        const stat = this.#kernel.statx(top.from.number, name, AT_SYMLINK_NOFOLLOW);
        if (stat.type === "directory") {
          stack.push(this.#enterBelow(top, name));
          path.push(name);
        } else {
          await this.#copyEntry(top, { name, stat, path: [...path, name].join("/") });
        }
      }
    } finally {
      for (const { from, to } of stack.slice(1)) {
        from.close();
        to.close();
      }
    }
  }

  #enterBelow({ from, to }: OpenDirectory, name: string): OpenDirectory {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    try {
      this.#kernel.mkdirat(to.number, name, 0o700);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const { type } = this.#kernel.statx(to.number, name, AT_SYMLINK_NOFOLLOW);
      if (type !== "directory") {
        removeBelow(this.#kernel, to.number, name);
        this.#kernel.mkdirat(to.number, name, 0o700);
      }
    }
    const source = this.#kernel.openat(from.number, name, flags);
    try {
      return this.#enter(source, this.#kernel.openat(to.number, name, flags));
    } catch (error) {
      source.close();
      throw error;
    }
  }

  /** What the directory hides goes first: it speaks of the layers below alone. */
  #enter(from: Fd, to: Fd): OpenDirectory {
    const kernel = this.#kernel;
    const names: string[] = [];
    for (const { name } of kernel.readdir(from.number)) {
      if (name === OPAQUE_NAME) {
        for (const below of kernel.readdir(to.number)) removeBelow(kernel, to.number, below.name);
      } else if (name.startsWith(WHITEOUT_PREFIX)) {
        removeBelow(kernel, to.number, name.slice(WHITEOUT_PREFIX.length));
      } else names.push(name);
    }
    return { from, to, names };
  }

  async #copyEntry(
    { from, to }: OpenDirectory,
    { name, stat, path }: {
      readonly name: string;
      readonly stat: FileStat;
      readonly path: string;
    },
  ): Promise<void> {
    const kernel = this.#kernel;
    removeBelow(kernel, to.number, name);
    const first = stat.nlink > 1 ? this.#linked.get(stat.inode) : undefined;
    if (first !== undefined) {
      kernel.linkat(this.#root, first, to.number, name, 0);
      return;
    }
    if (stat.nlink > 1) this.#linked.set(stat.inode, path);
    switch (stat.type) {
      case "file":
        await this.#copyFile(from.number, to.number, name, stat);
        break;
      case "symlink":
        kernel.symlinkat(kernel.readlinkat(from.number, name), to.number, name);
        kernel.fchownat(to.number, name, stat.uid, stat.gid, AT_SYMLINK_NOFOLLOW);
        break;
      default:
        kernel.mknodat(to.number, name, stat.type as "fifo" | "char" | "block", stat.mode, {
          major: stat.rdevMajor,
          minor: stat.rdevMinor,
        });
        kernel.fchownat(to.number, name, stat.uid, stat.gid, AT_SYMLINK_NOFOLLOW);
        kernel.fchmodat(to.number, name, stat.mode);
    }
    copyXattrs(kernel, { dirFd: from.number, name }, { dirFd: to.number, name });
    const time = timeOf(stat);
    kernel.utimensat(to.number, name, time, time, AT_SYMLINK_NOFOLLOW);
  }

  /** Owner first, then mode, because chown(2) takes setuid away. */
  async #copyFile(fromDir: number, toDir: number, name: string, stat: FileStat): Promise<void> {
    const kernel = this.#kernel;
    using from = kernel.openat(fromDir, name, O_RDONLY | O_NOFOLLOW);
    using to = kernel.openat(toDir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    for (let copied = 0n; copied < stat.size;) {
      const bytes = this.#copyPart(from.number, to.number);
      if (bytes === 0) break;
      copied += BigInt(bytes);
      if (copied < stat.size) await this.#pause();
    }
    kernel.fchownat(to.number, "", stat.uid, stat.gid, AT_EMPTY_PATH);
    kernel.fchmod(to.number, stat.mode);
  }

  #copyPart(from: number, to: number): number {
    const kernel = this.#kernel;
    try {
      return kernel.copyFileRange(from, to, COPY_BYTES);
    } catch (error) {
      // Not between these two, or not on this file system: by hand.
      if (!isErrno(error, "EXDEV", "EOPNOTSUPP", "EINVAL", "ENOSYS")) throw error;
    }
    const buffer = new Uint8Array(BUFFER_BYTES);
    const length = kernel.read(from, buffer);
    for (let left = buffer.subarray(0, length); left.length > 0;) {
      left = left.subarray(kernel.write(to, left));
    }
    return length;
  }

  /** Lets a cancellation arrive. */
  async #pause(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.#signal.aborted) throw new CancelledError("Copying the layers was cancelled");
  }
}

function describeDirectory(kernel: Kernel, from: number, to: number): void {
  const stat = kernel.statx(from, "", AT_EMPTY_PATH);
  kernel.fchownat(to, "", stat.uid, stat.gid, AT_EMPTY_PATH);
  kernel.fchmod(to, stat.mode);
  copyXattrs(kernel, { dirFd: from, name: "." }, { dirFd: to, name: "." });
  const time = timeOf(stat);
  kernel.utimensat(to, ".", time, time, AT_SYMLINK_NOFOLLOW);
}

interface Place {
  readonly dirFd: number;
  readonly name: string;
}

function copyXattrs(kernel: Kernel, from: Place, to: Place): void {
  const source = pathAt(from.dirFd, from.name);
  for (const key of kernel.llistxattr(source)) {
    if (!isLayerXattr(key)) continue;
    const value = kernel.lgetxattr(source, key);
    if (value !== undefined) setLayerXattr(kernel, { ...to, key, value });
  }
}

function timeOf({ mtimeNs }: FileStat): { seconds: bigint; nanoseconds: number } {
  const second = 1_000_000_000n;
  const nanoseconds = ((mtimeNs % second) + second) % second;
  return { seconds: (mtimeNs - nanoseconds) / second, nanoseconds: Number(nanoseconds) };
}
