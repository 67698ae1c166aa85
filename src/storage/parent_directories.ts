/**
 * The directories that a layer's entries go into, resolved by the kernel within the layer's root and
 * kept open for the entries that follow.
 *
 * @module
 */
import { InvalidArgumentError, isErrno, shown } from "../errors/mod.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  type Kernel,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "../sys/mod.ts";

/** Archives go depth first: the directories of one branch and some siblings are what is asked again. */
const KEPT_OPEN = 64;
const RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

export class ParentDirectories implements Disposable {
  readonly #kernel: Kernel;
  readonly #root: number;
  readonly #opaque: (dirFd: number, name: string) => void;
  /** By path, least recently used first. */
  readonly #open = new Map<string, Fd>();
  #stale = false;

  /** @param opaque marks a directory so that layers below do not show through */
  constructor(kernel: Kernel, root: number, opaque: (dirFd: number, name: string) => void) {
    this.#kernel = kernel;
    this.#root = root;
    this.#opaque = opaque;
  }

  /**
   * Descriptor of a directory below the root; valid until the next call. Missing directories are made,
   * owned by root and 0755, since archives may leave parents out.
   *
   * @throws {InvalidArgumentError} something on the way is neither a directory nor a link to one
   */
  of(names: readonly string[]): number {
    if (this.#stale) this.#closeAll();
    if (names.length === 0) return this.#root;
    const path = names.join("/");
    const known = this.#open.get(path);
    if (known !== undefined) {
      this.#open.delete(path);
      this.#open.set(path, known);
      return known.number;
    }
    return this.#keep(path, this.#resolve(path) ?? this.#make(names));
  }

  /**
   * To be called after a directory or a link was removed: what was resolved through it may be elsewhere
   * now. The descriptor handed out last stays valid until the next call of {@link of}.
   */
  forget(): void {
    this.#stale = true;
  }

  [Symbol.dispose](): void {
    this.#closeAll();
  }

  #closeAll(): void {
    this.#stale = false;
    for (const fd of this.#open.values()) fd.close();
    this.#open.clear();
  }

  #keep(path: string, fd: Fd): number {
    if (this.#open.size >= KEPT_OPEN) {
      for (const [oldest, old] of this.#open) {
        this.#open.delete(oldest);
        old.close();
        break;
      }
    }
    this.#open.set(path, fd);
    return fd.number;
  }

  #resolve(path: string): Fd | undefined {
    try {
      return this.#kernel.openat2(this.#root, path, {
        flags: O_PATH | O_DIRECTORY,
        resolve: RESOLVE,
      });
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      throw this.#unusable(path, error);
    }
  }

  /** Goes down from the root and makes what is missing. */
  #make(names: readonly string[]): Fd {
    let at: Fd | undefined;
    try {
      for (let depth = 1; depth <= names.length; depth++) {
        const name = names[depth - 1] ?? "";
        const next = this.#enter(at?.number ?? this.#root, name, names.slice(0, depth));
        at?.close();
        at = next;
      }
    } catch (error) {
      at?.close();
      throw error;
    }
    if (at === undefined) throw this.#unusable(names.join("/"), undefined);
    return at;
  }

  #enter(parent: number, name: string, names: readonly string[]): Fd {
    const path = names.join("/");
    // From the root each time, not from the parent: a link on the way is relative to the layer's root.
    const there = this.#resolve(path);
    if (there !== undefined) return there;
    try {
      this.#kernel.mkdirat(parent, name, 0o755);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      this.#replaceWhiteout(parent, name, path);
    }
    return this.#kernel.openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  }

  /** A whiteout and then entries below its name: a directory that takes nothing from the layers below. */
  #replaceWhiteout(parent: number, name: string, path: string): void {
    const stat = this.#kernel.statx(parent, name, AT_SYMLINK_NOFOLLOW);
    if (stat.type !== "char" || stat.rdevMajor !== 0 || stat.rdevMinor !== 0) {
      throw this.#unusable(path, undefined);
    }
    this.#kernel.unlinkat(parent, name, 0);
    this.#kernel.mkdirat(parent, name, 0o755);
    this.#opaque(parent, name);
  }

  #unusable(path: string, cause: unknown): InvalidArgumentError {
    return new InvalidArgumentError(
      `Cannot unpack entries below ${shown(path)}: it is no directory of the layer`,
      { path, ...(cause === undefined ? {} : { cause }) },
    );
  }
}
