/**
 * Removing directory trees that others filled: no link is followed, no mount is entered, and depth
 * costs neither stack nor descriptors.
 *
 * All of it is synchronous; for trees that may be large, call it in a worker.
 *
 * @module
 */
import { FailedPreconditionError, isErrno, shown } from "../errors/mod.ts";
import {
  AT_REMOVEDIR,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from "./constants.ts";
import type { Fd, Kernel } from "./kernel.ts";

/** Directories below this depth are first moved up to the top, so that open descriptors stay few. */
const MAX_DEPTH = 64;
/** How often a directory may turn out to have new entries before that is an error. */
const MAX_ROUNDS = 100;

/**
 * Removes an entry of a directory, with everything below it. Succeeds if there is none.
 *
 * @throws {FailedPreconditionError} something is mounted in it; what is not below that may be gone
 */
export function removeTreeAt(kernel: Kernel, dirFd: number, name: string): void {
  new TreeRemoval(kernel, dirFd).remove(dirFd, name, 0);
}

/** As {@link removeTreeAt}, by a path of ours: its directories are followed, the last part is not. */
export function removeTree(kernel: Kernel, path: string): void {
  const at = path.lastIndexOf("/");
  let parent: Fd;
  try {
    parent = kernel.open(path.slice(0, at + 1) || ".", O_PATH | O_DIRECTORY);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  using directory = parent;
  removeTreeAt(kernel, directory.number, path.slice(at + 1));
}

class TreeRemoval {
  readonly #kernel: Kernel;
  readonly #topFd: number;
  /** Names that this removal gave to directories it moved beside the top. */
  readonly #moved: string[] = [];
  #count = 0;

  constructor(kernel: Kernel, topFd: number) {
    this.#kernel = kernel;
    this.#topFd = topFd;
  }

  remove(dirFd: number, name: string, depth: number): void {
    this.#removeEntry(dirFd, name, depth);
    if (depth > 0) return;
    for (let moved = this.#moved.pop(); moved !== undefined; moved = this.#moved.pop()) {
      this.#removeEntry(this.#topFd, moved, 0);
    }
  }

  #removeEntry(dirFd: number, name: string, depth: number): void {
    if (this.#unlink(dirFd, name)) return;
    if (depth >= MAX_DEPTH) {
      this.#moveUp(dirFd, name);
      return;
    }
    for (let round = 0; round < MAX_ROUNDS; round++) {
      using directory = this.#openDirectory(dirFd, name);
      if (directory === undefined) return;
      for (const entry of this.#kernel.readdir(directory.number)) {
        this.#removeEntry(directory.number, entry.name, depth + 1);
      }
      try {
        this.#kernel.unlinkat(dirFd, name, AT_REMOVEDIR);
        return;
      } catch (error) {
        if (isErrno(error, "ENOENT")) return;
        if (!isErrno(error, "ENOTEMPTY")) throw error;
      }
    }
    throw new FailedPreconditionError(`Directory ${shown(name)} keeps getting new entries`, {
      path: name,
    });
  }

  /** False if it is a directory. */
  #unlink(dirFd: number, name: string): boolean {
    try {
      this.#kernel.unlinkat(dirFd, name, 0);
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return true;
      if (isErrno(error, "EISDIR")) return false;
      throw error;
    }
  }

  #openDirectory(dirFd: number, name: string): Fd | undefined {
    try {
      return this.#kernel.openat2(dirFd, name, {
        flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
        resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
      });
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      if (isErrno(error, "EXDEV")) {
        throw new FailedPreconditionError(
          `Directory ${shown(name)} cannot be removed: something is mounted on it`,
          { path: name, remedy: "unmount it first", cause: error },
        );
      }
      throw error;
    }
  }

  #moveUp(dirFd: number, name: string): void {
    const temporary = `.removing-${crypto.randomUUID()}-${this.#count++}`;
    this.#kernel.renameat2(dirFd, name, this.#topFd, temporary, 0);
    this.#moved.push(temporary);
  }
}
