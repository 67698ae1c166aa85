/**
 * Makes the files of one layer from the entries of its archive, below a root of its own.
 *
 * The rules that keep a hostile archive inside, and the order that keeps each of them true:
 * - The kernel resolves every parent within the root (`openat2`, no magic links); the last name of a path
 *   is never followed. Files are made with `O_EXCL|O_NOFOLLOW`, so nothing is written through a link.
 * - What an earlier entry left under the same name is removed first; only directory over directory merges.
 * - Owner first, then mode, because chown(2) takes setuid away; then attributes, because it takes
 *   capabilities away; times last. All by descriptor, or by the parent's descriptor and the name.
 * - A character device 0:0 and `*.overlay.*` attributes mean something to overlayfs: only whiteouts
 *   make them, an archive that brings its own is refused. How a whiteout lies on disk is the storage
 *   driver's affair, see `whiteout_form.ts`.
 *
 * The caller's umask is 0. Nothing else writes below the root meanwhile.
 *
 * @module
 */
import { InvalidArgumentError, isErrno, ResourceExhaustedError, shown } from "../errors/mod.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  type Kernel,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "../sys/mod.ts";
import { removeBelow } from "./_remove_below.ts";
import { entryNames } from "./entry_path.ts";
import { MAX_DIRECTORY_PATH_CHARS } from "./limits.ts";
import { ParentDirectories } from "./parent_directories.ts";
import type { TarTime } from "./pax.ts";
import type { TarEntry, TarVisitor } from "./tar_reader.ts";
import { isLayerXattr, setLayerXattr } from "./layer_xattrs.ts";
import { type WhiteoutForm } from "./whiteout_form.ts";
import { meaningOf } from "./whiteouts.ts";

/** What an archive says of the layer's root. */
export interface LayerRoot {
  /** It hides everything of the layers below. */
  readonly opaque: boolean;
  /** It has an entry of its own; else the owner and mode of the root are those of the layers below. */
  readonly described: boolean;
}

/** The file whose content is coming. */
interface OpenFile {
  readonly fd: Fd;
  readonly entry: TarEntry;
  /** Stays open until the file is complete: nothing else is looked up before. */
  readonly parent: number;
  readonly name: string;
}

export class LayerWriter implements TarVisitor, Disposable {
  readonly #kernel: Kernel;
  readonly #whiteouts: WhiteoutForm;
  readonly #rootFd: Fd;
  readonly #parents: ParentDirectories;
  #file: OpenFile | undefined;
  /** Directory times by path, set at the end: making entries changes them. */
  readonly #directoryTimes = new Map<string, TarTime>();
  #directoryPathChars = 0;
  #root: LayerRoot = { opaque: false, described: false };

  /** @param root the layer's directory: ours alone, empty */
  constructor(kernel: Kernel, root: string, whiteouts: WhiteoutForm) {
    this.#kernel = kernel;
    this.#whiteouts = whiteouts;
    this.#rootFd = kernel.open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#parents = new ParentDirectories(
      kernel,
      this.#rootFd.number,
      (dirFd, name) => whiteouts.markOpaque(dirFd, name),
    );
  }

  get root(): LayerRoot {
    return this.#root;
  }

  /**
   * @throws {InvalidArgumentError} the entry cannot be part of a layer; says why
   * @throws {ResourceExhaustedError} the disk is full
   */
  entry(entry: TarEntry): void {
    const names = entryNames(entry.path);
    const meaning = meaningOf(names);
    switch (meaning.kind) {
      case "ignored":
        return;
      case "opaque":
        this.#hideBelow(names.slice(0, -1));
        return;
      case "whiteout":
        this.#hide(names.slice(0, -1), meaning.name);
        return;
      case "entry":
        this.#make(entry, names);
    }
  }

  content(bytes: Uint8Array): void {
    // Content of a whiteout means nothing.
    if (this.#file === undefined) return;
    let left = bytes;
    while (left.length > 0) left = left.subarray(this.#kernel.write(this.#file.fd.number, left));
  }

  entryEnd(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    using fd = file.fd;
    const { uid, gid, mode, mtime } = file.entry;
    this.#kernel.fchownat(fd.number, "", uid, gid, AT_EMPTY_PATH);
    this.#kernel.fchmod(fd.number, mode);
    this.#setXattrs(file.entry, file.parent, file.name);
    this.#setTimes(file.parent, file.name, mtime);
  }

  /** Sets what had to wait for the last entry. */
  finish(): void {
    for (const [path, time] of this.#directoryTimes) {
      const names = path === "" ? [] : path.split("/");
      if (names.length === 0) {
        this.#setTimes(this.#rootFd.number, ".", time);
        continue;
      }
      const parent = this.#existing(names.slice(0, -1));
      if (parent === undefined) continue;
      using _parent = parent;
      const name = names.at(-1) ?? "";
      // A later entry may have put something else in its place.
      if (this.#typeOf(parent.number, name) === "directory") {
        this.#setTimes(parent.number, name, time);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#file?.fd.close();
    this.#file = undefined;
    this.#parents[Symbol.dispose]();
    this.#rootFd.close();
  }

  #make(entry: TarEntry, names: readonly string[]): void {
    const name = names.at(-1);
    const parentNames = names.slice(0, -1);
    if (name === undefined) {
      if (entry.type !== "directory") throw refused(entry, "the root must be a directory");
      this.#setDirectory(entry, this.#rootFd.number, ".", "");
      this.#root = { ...this.#root, described: true };
      return;
    }
    checkXattrs(entry);
    const parent = this.#parents.of(parentNames);
    switch (entry.type) {
      case "directory":
        this.#makeDirectory(entry, parent, name, names.join("/"));
        return;
      case "file":
        this.#file = {
          fd: this.#replacing(
            parent,
            name,
            () =>
              this.#kernel.openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
          ),
          entry,
          parent,
          name,
        };
        return;
      case "hardlink":
        this.#makeHardLink(entry, parentNames, name);
        return;
      case "symlink":
        if (entry.linkTarget === "") throw refused(entry, "its target is empty");
        this.#replacing(parent, name, () => this.#kernel.symlinkat(entry.linkTarget, parent, name));
        break;
      case "char":
      case "block":
      case "fifo":
        this.#makeNode(entry, entry.type, parent, name);
        break;
    }
    this.#kernel.fchownat(parent, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW);
    this.#setXattrs(entry, parent, name);
    this.#setTimes(parent, name, entry.mtime);
  }

  #makeDirectory(entry: TarEntry, parent: number, name: string, path: string): void {
    try {
      this.#kernel.mkdirat(parent, name, 0o700);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const type = this.#typeOf(parent, name);
      if (type !== "directory") {
        this.#remove(parent, name);
        this.#kernel.mkdirat(parent, name, 0o700);
        // Whiteout and directory of one name: the directory replaces that of the layers below.
        if (type === "whiteout") this.#whiteouts.markOpaque(parent, name);
      }
    }
    this.#setDirectory(entry, parent, name, path);
  }

  #setDirectory(entry: TarEntry, parent: number, name: string, path: string): void {
    checkXattrs(entry);
    using fd = this.#kernel.openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#kernel.fchownat(fd.number, "", entry.uid, entry.gid, AT_EMPTY_PATH);
    this.#kernel.fchmod(fd.number, entry.mode);
    this.#setXattrs(entry, parent, name);
    if (!this.#directoryTimes.has(path)) this.#directoryPathChars += path.length;
    if (this.#directoryPathChars > MAX_DIRECTORY_PATH_CHARS) {
      throw new ResourceExhaustedError(
        `Cannot unpack the layer: the paths of its directories have more than ${MAX_DIRECTORY_PATH_CHARS} characters`,
      );
    }
    this.#directoryTimes.set(path, entry.mtime);
  }

  #makeHardLink(entry: TarEntry, parentNames: readonly string[], name: string): void {
    const targetNames = entryNames(entry.linkTarget, "hard link to");
    const targetName = targetNames.at(-1);
    const from = this.#existing(targetNames.slice(0, -1));
    if (targetName === undefined || from === undefined) throw missingTarget(entry);
    using _from = from;
    const type = this.#typeOf(from.number, targetName);
    if (type === undefined) throw missingTarget(entry);
    if (type === "directory" || type === "whiteout") {
      throw refused(entry, `its target ${shown(entry.linkTarget)} is a ${type}`);
    }
    const parent = this.#parents.of(parentNames);
    // A link to itself must not remove what it names.
    if (this.#sameFile(from.number, targetName, parent, name)) return;
    this.#replacing(
      parent,
      name,
      () => this.#kernel.linkat(from.number, targetName, parent, name, 0),
    );
  }

  #makeNode(
    entry: TarEntry,
    type: "char" | "block" | "fifo",
    parent: number,
    name: string,
  ): void {
    const { deviceMajor: major, deviceMinor: minor } = entry;
    if (type === "char" && major === 0 && minor === 0) {
      throw refused(entry, "the character device 0:0 would hide a file of the layers below");
    }
    this.#replacing(
      parent,
      name,
      () => this.#kernel.mknodat(parent, name, type, entry.mode, { major, minor }),
    );
  }

  /** `.wh.NAME`: speaks of the layers below alone, so what this layer has under the name stays. */
  #hide(parentNames: readonly string[], name: string): void {
    const parent = this.#parents.of(parentNames);
    switch (this.#typeOf(parent, name)) {
      case undefined:
        this.#whiteouts.hide(parent, name);
        return;
      case "directory":
        this.#whiteouts.markOpaque(parent, name);
        return;
      default:
        // A file hides its namesakes below by being there.
        return;
    }
  }

  #hideBelow(names: readonly string[]): void {
    if (names.length === 0) {
      // overlayfs does not look at the attribute on a layer's root: the record says it.
      this.#root = { ...this.#root, opaque: true };
      return;
    }
    this.#whiteouts.markOpaque(this.#parents.of(names), ".");
  }

  /** Runs an operation that makes a name; if something has it, removes that and runs it again. */
  #replacing<T>(parent: number, name: string, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      this.#remove(parent, name);
      return make();
    }
  }

  #remove(parent: number, name: string): void {
    const type = this.#typeOf(parent, name);
    removeBelow(this.#kernel, parent, name);
    if (type === "directory" || type === "symlink") this.#parents.forget();
  }

  #typeOf(dirFd: number, name: string): string | undefined {
    try {
      const stat = this.#kernel.statx(dirFd, name, AT_SYMLINK_NOFOLLOW);
      return this.#whiteouts.isWhiteout(name, stat) ? "whiteout" : stat.type;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  #sameFile(dirA: number, nameA: string, dirB: number, nameB: string): boolean {
    if (this.#typeOf(dirB, nameB) === undefined) return false;
    const a = this.#kernel.statx(dirA, nameA, AT_SYMLINK_NOFOLLOW);
    const b = this.#kernel.statx(dirB, nameB, AT_SYMLINK_NOFOLLOW);
    return a.inode === b.inode;
  }

  /** A directory that must already be there, resolved within the root. */
  #existing(names: readonly string[]): Fd | undefined {
    try {
      return this.#kernel.openat2(this.#rootFd.number, names.length === 0 ? "." : names.join("/"), {
        flags: O_PATH | O_DIRECTORY,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
      });
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
  }

  #setXattrs(entry: TarEntry, parent: number, name: string): void {
    for (const [key, value] of entry.xattrs) {
      if (keepsXattr(entry, key)) setLayerXattr(this.#kernel, { dirFd: parent, name, key, value });
    }
  }

  #setTimes(dirFd: number, name: string, time: TarTime): void {
    this.#kernel.utimensat(dirFd, name, time, time, AT_SYMLINK_NOFOLLOW);
  }
}

/** @throws {InvalidArgumentError} an attribute would speak to overlayfs */
function checkXattrs(entry: TarEntry): void {
  for (const key of entry.xattrs.keys()) {
    if (key.startsWith("trusted.overlay.") || key.startsWith("user.overlay.")) {
      throw refused(entry, `its attribute ${shown(key)} belongs to overlayfs`);
    }
  }
}

/** The user's own attributes are of files and directories alone; an archive may claim otherwise. */
function keepsXattr(entry: TarEntry, key: string): boolean {
  if (key.startsWith("user.")) return entry.type === "file" || entry.type === "directory";
  return isLayerXattr(key);
}

function missingTarget(entry: TarEntry): InvalidArgumentError {
  return refused(entry, `its target ${shown(entry.linkTarget)} is not in the layer`);
}

function refused(entry: TarEntry, why: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `Cannot unpack the ${entry.type} ${shown(entry.path)}: ${why}`,
    { path: entry.path },
  );
}
