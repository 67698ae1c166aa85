/**
 * How "gone" is written into a layer's directory. Overlayfs has a form of its own, which only it and few
 * file systems can hold (an overlay cannot make it at all); the driver that copies keeps the form of the
 * archives, where no file can have such a name.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { type FileStat, type Kernel, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } from "../sys/mod.ts";
import { setLayerXattr } from "./layer_xattrs.ts";
import { OPAQUE_NAME, WHITEOUT_PREFIX } from "./whiteouts.ts";

/** `overlay`: character device 0:0 and an attribute; `archive`: empty files named `.wh.NAME`. */
export type WhiteoutFormName = "overlay" | "archive";

export interface WhiteoutForm {
  readonly name: WhiteoutFormName;
  /** Hides a name of the layers below; this layer has nothing under it. May be repeated. */
  hide(dirFd: number, name: string): void;
  /** Hides what the layers below have in a directory of this layer. May be repeated. */
  markOpaque(dirFd: number, name: string): void;
  /** True if what lies under a name is no file but a mark. */
  isWhiteout(name: string, stat: FileStat): boolean;
}

export function whiteoutForm(kernel: Kernel, name: WhiteoutFormName): WhiteoutForm {
  return name === "overlay" ? new OverlayForm(kernel) : new ArchiveForm(kernel);
}

const OPAQUE_XATTR = "trusted.overlay.opaque";
const YES = new Uint8Array([0x79]);
const WHITEOUT_DEVICE = { major: 0, minor: 0 };

class OverlayForm implements WhiteoutForm {
  readonly name = "overlay";
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  hide(dirFd: number, name: string): void {
    this.#kernel.mknodat(dirFd, name, "char", 0, WHITEOUT_DEVICE);
  }

  markOpaque(dirFd: number, name: string): void {
    setLayerXattr(this.#kernel, { dirFd, name, key: OPAQUE_XATTR, value: YES });
  }

  isWhiteout(_name: string, stat: FileStat): boolean {
    return stat.type === "char" && stat.rdevMajor === 0 && stat.rdevMinor === 0;
  }
}

class ArchiveForm implements WhiteoutForm {
  readonly name = "archive";
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  hide(dirFd: number, name: string): void {
    this.#mark(dirFd, `${WHITEOUT_PREFIX}${name}`);
  }

  markOpaque(dirFd: number, name: string): void {
    this.#mark(dirFd, name === "." ? OPAQUE_NAME : `${name}/${OPAQUE_NAME}`);
  }

  isWhiteout(name: string, _stat: FileStat): boolean {
    return name.startsWith(WHITEOUT_PREFIX);
  }

  #mark(dirFd: number, name: string): void {
    try {
      this.#kernel.openat(dirFd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600).close();
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
}
