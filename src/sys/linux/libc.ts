/**
 * The libc symbols in use, and the one way to call them: errno is read at once, `EINTR` repeats the
 * call, a failure becomes a `SyscallError`.
 *
 * @module
 */
import { SyscallError } from "../../errors/mod.ts";
import { errnoName } from "../errno.ts";

const SYMBOLS = {
  __errno_location: { parameters: [], result: "pointer" },
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  openat: { parameters: ["i32", "buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  writev: { parameters: ["i32", "buffer", "i32"], result: "isize" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  statfs: { parameters: ["buffer", "buffer"], result: "i32" },
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
  mkdirat: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  unlinkat: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  renameat2: { parameters: ["i32", "buffer", "i32", "buffer", "u32"], result: "i32" },
  symlinkat: { parameters: ["buffer", "i32", "buffer"], result: "i32" },
  linkat: { parameters: ["i32", "buffer", "i32", "buffer", "i32"], result: "i32" },
  mknodat: { parameters: ["i32", "buffer", "u32", "u64"], result: "i32" },
  readlinkat: { parameters: ["i32", "buffer", "buffer", "usize"], result: "isize" },
  fchownat: { parameters: ["i32", "buffer", "u32", "u32", "i32"], result: "i32" },
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  fchmodat: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  utimensat: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  copy_file_range: {
    parameters: ["i32", "pointer", "i32", "pointer", "usize", "u32"],
    result: "isize",
  },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  lsetxattr: { parameters: ["buffer", "buffer", "buffer", "usize", "i32"], result: "i32" },
  lgetxattr: { parameters: ["buffer", "buffer", "buffer", "usize"], result: "isize" },
  llistxattr: { parameters: ["buffer", "buffer", "usize"], result: "isize" },
  fsync: { parameters: ["i32"], result: "i32" },
  syncfs: { parameters: ["i32"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  umask: { parameters: ["u32"], result: "u32" },
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "buffer"], result: "i32" },
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
  unshare: { parameters: ["i32"], result: "i32" },
  setns: { parameters: ["i32", "i32"], result: "i32" },
  sethostname: { parameters: ["buffer", "usize"], result: "i32" },
  setdomainname: { parameters: ["buffer", "usize"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  kill: { parameters: ["i32", "i32"], result: "i32" },
  getpid: { parameters: [], result: "i32" },
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i64"], result: "i32" },
  inotify_init1: { parameters: ["i32"], result: "i32" },
  inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  inotify_rm_watch: { parameters: ["i32", "i32"], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** `syscall(2)` for what older glibc lacks wrappers of; one shape of arguments each. */
const RAW_SYMBOLS = {
  openat2: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "buffer", "usize"],
    result: "i64",
  },
  pidfd: { name: "syscall", parameters: ["i64", "i64", "i64", "i64", "i64"], result: "i64" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Numbers of `syscall(2)`: the same on x86_64 and aarch64 for calls this young. */
export const SYS_pidfd_send_signal = 424n;
export const SYS_pidfd_open = 434n;
export const SYS_openat2 = 437n;

export type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
export type RawSymbols = Deno.DynamicLibrary<typeof RAW_SYMBOLS>["symbols"];

const EINTR = 4;
const EAGAIN = 11;

export class Libc {
  readonly call: Symbols;
  readonly raw: RawSymbols;
  /** errno of this thread; glibc gives it a fixed address. */
  readonly #errno: Int32Array;

  constructor() {
    this.call = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
    this.raw = Deno.dlopen("libc.so.6", RAW_SYMBOLS).symbols;
    const address = this.call.__errno_location();
    if (address === null) throw new Error("libc has no errno");
    this.#errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(address, 4));
  }

  get errno(): number {
    return this.#errno[0] ?? 0;
  }

  /**
   * Result of a call that answers -1 on failure, as a safe integer.
   *
   * @param what the subject, for the message; only called on failure
   */
  check(syscall: string, what: () => string, call: () => number | bigint): number {
    for (;;) {
      const result = Number(call());
      if (result !== -1) return result;
      const errno = this.errno;
      if (errno !== EINTR) throw this.error(syscall, errno, what());
    }
  }

  /** As {@link Libc.check}, and undefined if the call would have to wait. */
  attempt(
    syscall: string,
    what: () => string,
    call: () => number | bigint,
  ): number | undefined {
    for (;;) {
      const result = Number(call());
      if (result !== -1) return result;
      const errno = this.errno;
      if (errno === EAGAIN) return undefined;
      if (errno !== EINTR) throw this.error(syscall, errno, what());
    }
  }

  error(syscall: string, errno: number, what: string): SyscallError {
    return new SyscallError(syscall, errno, errnoName(errno), what);
  }
}
