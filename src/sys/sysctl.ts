/**
 * Kernel parameters below /proc/sys, written so that no link, mount or odd name leads elsewhere.
 *
 * @module
 */
import { InternalError, InvalidArgumentError, shown, SyscallError } from "../errors/mod.ts";
import {
  O_DIRECTORY,
  O_PATH,
  O_WRONLY,
  PROC_SUPER_MAGIC,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from "./constants.ts";
import type { Fd, Kernel } from "./kernel.ts";
import { AT_FDCWD } from "./constants.ts";

const NO_LINKS = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/**
 * The path below /proc/sys of a name in dot form (`net.ipv4.ip_forward`) or slash form
 * (`net/ipv4/ip_forward`). The first separator decides; the other character is then part of a
 * name, as in sysctl(8): `net.ipv4.conf.eth0/100.forwarding` is interface `eth0.100`.
 *
 * @throws {InvalidArgumentError} for an empty part, `.`, `..`, NUL or newline
 */
export function sysctlPath(name: string): string {
  const separator = /[./]/.exec(name)?.[0] ?? ".";
  const path = separator === "/" ? name : name.replace(/[./]/g, (c) => c === "." ? "/" : ".");
  const parts = path.split("/");
  // deno-lint-ignore no-control-regex -- control characters are what is refused
  const bad = /[\x00-\x1f\x7f]/.test(path) ||
    parts.some((p) => p === "" || p === "." || p === "..");
  if (bad) {
    throw new InvalidArgumentError(`Sysctl name ${shown(name)} is not a name below /proc/sys`, {
      field: "sysctls",
      value: name,
      remedy: "give dot-separated names such as net.ipv4.ip_forward",
    });
  }
  return path;
}

/** Writes sysctls of the calling thread's namespaces. */
export class Sysctls implements Disposable {
  readonly #kernel: Kernel;
  readonly #root: Fd;

  /** @throws {InternalError} /proc/sys is not the kernel's */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#root = kernel.openat2(AT_FDCWD, "/proc/sys", {
      flags: O_PATH | O_DIRECTORY,
      resolve: NO_LINKS,
    });
    try {
      this.#checkProcfs(this.#root, "/proc/sys");
    } catch (error) {
      this.#root.close();
      throw error;
    }
  }

  /** @throws {InvalidArgumentError} the kernel has no such sysctl or refused the value */
  write(name: string, value: string): void {
    const path = sysctlPath(name);
    if (/[\n\0]/.test(value)) {
      throw new InvalidArgumentError(
        `Value ${shown(value)} of sysctl ${shown(name)} has more lines`,
        {
          field: `sysctls.${name}`,
          value,
        },
      );
    }
    try {
      using file = this.#kernel.openat2(this.#root.number, path, {
        flags: O_WRONLY,
        resolve: RESOLVE_BENEATH | RESOLVE_NO_XDEV | NO_LINKS,
      });
      this.#checkProcfs(file, path);
      this.#kernel.write(file.number, new TextEncoder().encode(value));
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw new InvalidArgumentError(
        `The kernel refused sysctl ${shown(name)} with value ${shown(value)}: ${error.code}`,
        { field: `sysctls.${name}`, value, cause: error },
      );
    }
  }

  [Symbol.dispose](): void {
    this.#root.close();
  }

  #checkProcfs(file: Fd, path: string): void {
    if (this.#kernel.fstatfs(file.number).type !== PROC_SUPER_MAGIC) {
      throw new InternalError(`${path} is not on the kernel's proc file system`, { path });
    }
  }
}
