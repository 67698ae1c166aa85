/**
 * Files below a directory whose content is hostile, such as a container's root file system: no
 * link, `..` or mount of /proc in it leads outside (`openat2(2)` with `RESOLVE_IN_ROOT`).
 *
 * Paths are those that a process inside would use: absolute or relative, both start at the root.
 *
 * @module
 */
import {
  FailedPreconditionError,
  InvalidArgumentError,
  isErrno,
  ResourceExhaustedError,
  shown,
} from "../errors/mod.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "./constants.ts";
import type { Fd, FileStat, Kernel } from "./kernel.ts";
import { removeTreeAt } from "./tree.ts";

const RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

/** Owner and permissions of something made below a root. */
export interface NodeAttributes {
  /** Permission bits, whatever the umask is. */
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
}

export class RootDir implements Disposable {
  readonly #kernel: Kernel;
  readonly #root: Fd;

  /** @param root an open directory, owned by this object from here on */
  constructor(kernel: Kernel, root: Fd) {
    this.#kernel = kernel;
    this.#root = root;
  }

  /** Opens a root by its path on the host, which is trusted. @throws {SyscallError} */
  static open(kernel: Kernel, path: string): RootDir {
    return new RootDir(kernel, kernel.open(path, O_PATH | O_DIRECTORY));
  }

  get fd(): number {
    return this.#root.number;
  }

  /** Opens anything below the root. @throws {SyscallError} */
  openAt(path: string, flags: number): Fd {
    return this.#kernel.openat2(this.#root.number, path, { flags, resolve: RESOLVE });
  }

  /** What a path leads to, links followed inside the root; undefined if it leads nowhere. */
  stat(path: string): FileStat | undefined {
    try {
      using node = this.openAt(path, O_PATH);
      return this.#kernel.statx(node.number, "", AT_EMPTY_PATH);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
  }

  /**
   * The content of a regular file; undefined if the path leads nowhere. Never waits on a FIFO and
   * never opens a device.
   *
   * @throws {InvalidArgumentError} it is not a regular file
   * @throws {ResourceExhaustedError} it is larger than `limitBytes`
   */
  readFile(path: string, limitBytes: number): Uint8Array | undefined {
    const stat = this.stat(path);
    if (stat === undefined) return undefined;
    // Opening some devices has effects: look first, and again at what was opened.
    checkRegular(path, stat);
    let opened: Fd;
    try {
      opened = this.openAt(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
    using file = opened;
    checkRegular(path, this.#kernel.statx(file.number, "", AT_EMPTY_PATH));
    return this.#readAll(file, path, limitBytes);
  }

  /**
   * Makes a directory and its missing parents, as `mkdir -p` inside the root would; existing ones
   * are left as they are. Returns the directory, opened; only for use as a directory descriptor.
   */
  makeDirectories(path: string, attributes: NodeAttributes): Fd {
    let directory = this.openAt("/", O_PATH | O_DIRECTORY);
    let done = "";
    for (const part of path.split("/").filter((part) => part !== "" && part !== ".")) {
      using parent = directory;
      done = `${done}/${part}`;
      directory = this.#openOrMake(parent, { path: done, name: part, attributes });
    }
    return directory;
  }

  /**
   * Makes a file that does not exist yet, in a directory that does.
   *
   * @throws {SyscallError} `EEXIST` if there is anything of that name, a dangling link included
   */
  createFile(path: string, bytes: Uint8Array, attributes: NodeAttributes): void {
    using parent = this.#parentOf(path);
    const name = baseName(path);
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    using file = this.#kernel.openat(parent.number, name, flags, 0o600);
    try {
      for (let at = 0; at < bytes.length;) {
        at += this.#kernel.write(file.number, bytes.subarray(at));
      }
      this.#own(file.number, "", AT_EMPTY_PATH, attributes);
      this.#kernel.fchmod(file.number, attributes.mode);
    } catch (error) {
      this.#kernel.unlinkat(parent.number, name, 0);
      throw error;
    }
  }

  /** Makes a symbolic link that does not exist yet, in a directory that does. */
  createSymlink(path: string, target: string, owner: Omit<NodeAttributes, "mode"> = {}): void {
    using parent = this.#parentOf(path);
    const name = baseName(path);
    this.#kernel.symlinkat(target, parent.number, name);
    this.#own(parent.number, name, AT_SYMLINK_NOFOLLOW, owner);
  }

  /**
   * Removes what is at a path, a link itself and not its target, with everything below it. Succeeds
   * if there is nothing.
   *
   * @throws {FailedPreconditionError} something is mounted in it
   */
  removeTree(path: string): void {
    try {
      using parent = this.#parentOf(path);
      removeTreeAt(this.#kernel, parent.number, baseName(path));
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#root.close();
  }

  #parentOf(path: string): Fd {
    const trimmed = path.replace(/\/+$/, "");
    return this.openAt(`/${trimmed.slice(0, trimmed.lastIndexOf("/") + 1)}`, O_PATH | O_DIRECTORY);
  }

  #openOrMake(
    parent: Fd,
    { path, name, attributes }: { path: string; name: string; attributes: NodeAttributes },
  ): Fd {
    try {
      return this.openAt(path, O_PATH | O_DIRECTORY);
    } catch (error) {
      if (!isErrno(error, "ENOENT") || name === "..") throw error;
    }
    try {
      this.#kernel.mkdirat(parent.number, name, attributes.mode);
    } catch (error) {
      // Another process was quicker, or a link leads nowhere: opening it will tell.
      if (isErrno(error, "EEXIST")) return this.openAt(path, O_PATH | O_DIRECTORY);
      throw error;
    }
    // By the parent and without links: what was made, even if something else took its place.
    const directory = this.#kernel.openat2(parent.number, name, {
      flags: O_RDONLY | O_DIRECTORY,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    });
    try {
      this.#own(directory.number, "", AT_EMPTY_PATH, attributes);
      this.#kernel.fchmod(directory.number, attributes.mode);
      return directory;
    } catch (error) {
      directory.close();
      throw error;
    }
  }

  #own(dirFd: number, name: string, flags: number, owner: Omit<NodeAttributes, "mode">): void {
    const { uid, gid } = owner;
    if (uid === undefined && gid === undefined) return;
    const unchanged = 0xffffffff;
    this.#kernel.fchownat(dirFd, name, uid ?? unchanged, gid ?? unchanged, flags);
  }

  #readAll(file: Fd, path: string, limitBytes: number): Uint8Array {
    const buffer = new Uint8Array(limitBytes + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = this.#kernel.read(file.number, buffer.subarray(length));
      if (count === 0) return buffer.slice(0, length);
      length += count;
    }
    throw new ResourceExhaustedError(`File ${shown(path)} is larger than ${limitBytes} bytes`, {
      path,
    });
  }
}

function checkRegular(path: string, stat: FileStat): void {
  if (stat.type !== "file") {
    throw new InvalidArgumentError(`${shown(path)} is a ${stat.type}, not a regular file`, {
      path,
    });
  }
}

function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, "");
  const name = trimmed.slice(trimmed.lastIndexOf("/") + 1);
  if (name === "" || name === "." || name === "..") {
    throw new FailedPreconditionError(`${shown(path)} does not name an entry of a directory`, {
      path,
    });
  }
  return name;
}
