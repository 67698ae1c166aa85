/**
 * What the groups of system calls share: a call that throws when it fails, and descriptors that are
 * owned.
 *
 * @module
 */
import { AT_FDCWD } from "../constants.ts";
import type { Fd } from "../kernel.ts";
import type { Libc, Symbols } from "./libc.ts";

const EBADF = 9;
const EINTR = 4;

/** Type of the buffers that the interface of foreign functions takes. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** libc for the calling thread. */
export class Calls {
  readonly libc: Libc;

  constructor(libc: Libc) {
    this.libc = libc;
  }

  /**
   * The result of a call that answers -1 on failure.
   *
   * @param what its subject, for the message
   * @throws {SyscallError} it failed
   */
  check(
    syscall: string,
    what: () => string,
    call: (symbols: Symbols) => number | bigint,
  ): number {
    return this.libc.check(syscall, what, () => call(this.libc.call));
  }

  /** As {@link Calls.check}, and undefined if the call would have to wait. */
  attempt(
    syscall: string,
    what: () => string,
    call: (symbols: Symbols) => number | bigint,
  ): number | undefined {
    return this.libc.attempt(syscall, what, () => call(this.libc.call));
  }

  /** As {@link Calls.check}, for a call that makes a descriptor. */
  fd(syscall: string, what: () => string, call: (symbols: Symbols) => number | bigint): Fd {
    return this.own(this.check(syscall, what, call));
  }

  own(number: number): Fd {
    return new LinuxFd(this.libc, number);
  }
}

class LinuxFd implements Fd {
  readonly number: number;
  readonly #libc: Libc;
  #open = true;

  constructor(libc: Libc, number: number) {
    this.#libc = libc;
    this.number = number;
  }

  get closed(): boolean {
    return !this.#open;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    // Linux frees the number even when close(2) is interrupted: repeating could close another's.
    if (this.#libc.call.close(this.number) === -1 && this.#libc.errno !== EINTR) {
      throw this.#libc.error("close", this.#libc.errno, descriptor(this.number));
    }
  }

  release(): number {
    if (!this.#open) throw this.#libc.error("release", EBADF, descriptor(this.number));
    this.#open = false;
    return this.number;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A descriptor as messages name it. */
export function descriptor(fd: number): string {
  return fd === AT_FDCWD ? "the working directory" : `descriptor ${fd}`;
}
