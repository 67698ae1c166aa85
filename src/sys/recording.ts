/**
 * A {@link Kernel} for tests: does nothing, remembers every call, answers as scripted.
 *
 * @module
 */
import { SyscallError } from "../errors/mod.ts";
import { errnoNumber } from "./errno.ts";
import type { Fd, Kernel } from "./kernel.ts";

export interface KernelCall {
  readonly name: keyof Kernel;
  readonly args: readonly unknown[];
}

/** What calls answer: by name, a function of the call's arguments. Unscripted ones succeed. */
export type KernelScript = { readonly [Name in keyof Kernel]?: Kernel[Name] };

const MAKES_FD: ReadonlySet<string> = new Set(
  [
    "open",
    "openat",
    "openat2",
    "socket",
    "own",
    "accept",
    "pidfdOpen",
    "inotifyInit",
    "epollCreate",
    "eventfd",
  ] satisfies (keyof Kernel)[],
);

/**
 * @example
 * const { kernel, calls } = recordingKernel({ mount: () => failWith("mount", "EPERM") });
 */
export function recordingKernel(
  script: KernelScript = {},
): { readonly kernel: Kernel; readonly calls: readonly KernelCall[] } {
  const calls: KernelCall[] = [];
  let lastFd = 1000;
  const fd = (): RecordedFd => new RecordedFd(++lastFd);
  const unscripted = (name: string): unknown => {
    if (MAKES_FD.has(name)) return fd();
    if (name === "pipe2") return { read: fd(), write: fd() };
    if (name === "socketpair") return { a: fd(), b: fd() };
    if (name === "readdir" || name === "llistxattr" || name === "epollTake") return [];
    if (name === "flock") return true;
    return 0;
  };
  const kernel = new Proxy({} as Kernel, {
    get: (_, name: keyof Kernel) => (...args: unknown[]): unknown => {
      calls.push({ name, args });
      const scripted = script[name] as ((...args: unknown[]) => unknown) | undefined;
      return scripted === undefined ? unscripted(name) : scripted(...args);
    },
  });
  return { kernel, calls };
}

/** For scripts: throws what the real kernel would for a symbolic errno. */
export function failWith(syscall: string, code: string): never {
  throw new SyscallError(syscall, errnoNumber(code), code, "in a recording");
}

class RecordedFd implements Fd {
  readonly number: number;
  closed = false;

  constructor(number: number) {
    this.number = number;
  }

  close(): void {
    this.closed = true;
  }

  release(): number {
    this.closed = true;
    return this.number;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
