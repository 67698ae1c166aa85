/**
 * The system calls this runtime makes, as one interface with a real (`linux.ts`) and a recording
 * (`recording.ts`) implementation. Nothing outside `sys/` calls libc.
 *
 * Calls are synchronous and run on the calling thread, because errno, namespaces and credentials
 * belong to a thread. Every failure throws `SyscallError`. Every descriptor that a call makes is
 * close-on-exec. Sizes and offsets that may pass 2^53 are `bigint`.
 *
 * @module
 */

import type { TerminalSize } from "../model/mod.ts";

/** A file descriptor owned by whoever holds this value; disposing closes it, twice is harmless. */
export interface Fd extends Disposable {
  readonly number: number;
  /** True once closed or given away. */
  readonly closed: boolean;
  close(): void;
  /** Hands the number over to another owner (an adopted socket, a child): no longer closed here. */
  release(): number;
}

/** Result of `statx(2)`, the fields used here. */
export interface FileStat {
  readonly type: "file" | "directory" | "symlink" | "fifo" | "socket" | "char" | "block";
  /** Permission bits with setuid, setgid and sticky, `0o7777` at most. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  readonly blocks512: bigint;
  readonly nlink: number;
  readonly inode: bigint;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Of a device node. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly mtimeNs: bigint;
  readonly mountId: bigint;
}

/** Result of `statfs(2)`, the fields used here. */
export interface FileSystemStat {
  /** Magic number of `statfs(2)`: 0x794c7630 is overlayfs. */
  readonly type: number;
  readonly blockSize: bigint;
  readonly blocks: bigint;
  readonly blocksFree: bigint;
  readonly blocksAvailable: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
}

/** How far a path may lead, for {@link FileCalls.openat2}: flags of `openat2(2)`. */
export interface OpenHow {
  readonly flags: number;
  readonly mode?: number;
  readonly resolve?: number;
}

export interface EpollEvent {
  readonly events: number;
  readonly data: bigint;
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Two integers: seconds since the epoch and nanoseconds below a second; null leaves the time as it is. */
export type FileTime = { readonly seconds: bigint; readonly nanoseconds: number } | null;

/** Files, by directory descriptor. `AT_FDCWD` (-100) stands for the working directory. */
export interface FileCalls {
  open(path: string, flags: number, mode?: number): Fd;
  openat(dirFd: number, path: string, flags: number, mode?: number): Fd;
  openat2(dirFd: number, path: string, how: OpenHow): Fd;
  mkdirat(dirFd: number, path: string, mode: number): void;
  unlinkat(dirFd: number, path: string, flags: number): void;
  renameat2(oldDir: number, oldPath: string, newDir: number, newPath: string, flags: number): void;
  symlinkat(target: string, dirFd: number, path: string): void;
  linkat(oldDir: number, oldPath: string, newDir: number, newPath: string, flags: number): void;
  mknodat(
    dirFd: number,
    path: string,
    type: "file" | "fifo" | "char" | "block" | "socket",
    mode: number,
    device: { readonly major: number; readonly minor: number },
  ): void;
  readlinkat(dirFd: number, path: string): string;
  /** Names in a directory, without `.` and `..`, with their `d_type` where the file system tells. */
  readdir(fd: number): { name: string; type: FileStat["type"] | "unknown" }[];
  /**
   * One `copy_file_range(2)` between the descriptors' positions, which file systems may do by sharing the
   * blocks: bytes copied, 0 at the end of the file. `length` is at most 2^30.
   */
  copyFileRange(fromFd: number, toFd: number, length: number): number;
  ftruncate(fd: number, length: bigint): void;
  fallocate(fd: number, mode: number, offset: bigint, length: bigint): void;
  fsync(fd: number): void;
  /** Writes back the whole file system that `fd` is on; slow, call it in a worker. */
  syncfs(fd: number): void;
  /** Sets the umask of the calling thread's file system context and returns the one before. */
  umask(mask: number): number;
}

/** What is known of files and file systems. */
export interface AttributeCalls {
  /** Flag `AT_EMPTY_PATH` with an empty path: of `dirFd` itself. */
  statx(dirFd: number, path: string, flags: number): FileStat;
  statfs(path: string): FileSystemStat;
  fstatfs(fd: number): FileSystemStat;
  fchownat(dirFd: number, path: string, uid: number, gid: number, flags: number): void;
  fchmod(fd: number, mode: number): void;
  fchmodat(dirFd: number, path: string, mode: number): void;
  utimensat(
    dirFd: number,
    path: string,
    accessed: FileTime,
    modified: FileTime,
    flags: number,
  ): void;
  /** Follows no symlink at the end. */
  lsetxattr(path: string, name: string, value: Uint8Array): void;
  lgetxattr(path: string, name: string): Uint8Array | undefined;
  llistxattr(path: string): string[];
}

/** What is done with a descriptor, whatever it is of. */
export interface DescriptorCalls {
  /** One `read(2)`; 0 at the end of the file. */
  read(fd: number, into: Uint8Array): number;
  pread(fd: number, into: Uint8Array, offset: bigint): number;
  /** One `write(2)`; may be short. */
  write(fd: number, bytes: Uint8Array): number;
  /** One `read(2)` of a non-blocking descriptor; 0 at the end, undefined if there is nothing yet. */
  readNow(fd: number, into: Uint8Array): number | undefined;
  /** One `writev(2)` to a non-blocking descriptor; may be short, undefined if it takes nothing now. */
  writeNow(fd: number, parts: readonly Uint8Array[]): number | undefined;
  pipe2(flags: number): { readonly read: Fd; readonly write: Fd };
  /** Takes over a descriptor that another thread of this process made and left to the caller. */
  own(number: number): Fd;
  setCloexec(fd: number, on: boolean): void;
  setNonblocking(fd: number, on: boolean): void;
  /** How much a pipe, terminal or socket holds that nobody has read (`FIONREAD`). */
  unreadBytes(fd: number): number;
  /** Sets how much a pipe holds before its writer waits (`F_SETPIPE_SZ`); returns what it became. */
  setPipeCapacity(fd: number, bytes: number): number;
  /** Of the terminal whose master or slave side this is (`TIOCSWINSZ`); its programs get SIGWINCH. */
  setTerminalSize(fd: number, size: TerminalSize): void;
  /** True if the lock was taken; false if another open file holds it. */
  flock(fd: number, operation: number): boolean;
}

/** Mounts and namespaces. */
export interface NamespaceCalls {
  mount(
    source: string,
    target: string,
    type: string | null,
    flags: bigint,
    data: string | null,
  ): void;
  umount2(target: string, flags: number): void;
  unshare(flags: number): void;
  setns(fd: number, type: number): void;
  sethostname(name: string): void;
  setdomainname(name: string): void;
  /** Brings a network interface of the calling thread's namespace up (`SIOCSIFFLAGS`). */
  bringInterfaceUp(name: string): void;
}

/** Processes. */
export interface ProcessCalls {
  pidfdOpen(pid: number): Fd;
  pidfdSendSignal(pidfd: number, signal: number): void;
  kill(pid: number, signal: number): void;
  getpid(): number;
  /** `prctl(2)` with integer arguments. */
  prctl(option: number, arg2: bigint, arg3?: bigint): number;
}

/** Sockets. */
export interface SocketCalls {
  socketpair(domain: number, type: number): { readonly a: Fd; readonly b: Fd };
  socket(domain: number, type: number, protocol: number): Fd;
  /**
   * Connects a unix socket of any type; paths over 107 bytes go through /proc/self/fd. A name that
   * starts with NUL is an abstract one.
   */
  connectUnix(fd: number, path: string): void;
  /** Connects a TCP socket to an IP address; returns while a non-blocking one is still connecting. */
  connectTcp(fd: number, address: string, port: number): void;
  /** Binds a unix socket to a path of at most 107 bytes. */
  bindUnix(fd: number, path: string): void;
  /** Binds a TCP socket to an IP address; port 0 takes a free one. */
  bindTcp(fd: number, address: string, port: number): void;
  /** The port that a TCP socket is bound to. */
  boundPort(fd: number): number;
  /** Sets an option whose value is an integer (`setsockopt(2)`). */
  setSocketOption(fd: number, level: number, option: number, value: number): void;
  listen(fd: number, backlog: number): void;
  /** The next connection that waits. */
  accept(fd: number): Fd;
  /** The descriptor that comes with the next message of a unix socket (`SCM_RIGHTS`), if one does. */
  receiveDescriptor(fd: number): Fd | undefined;
  peerCredentials(fd: number): PeerCredentials;
  /** `shutdown(2)` of the sending half of a connected socket. */
  shutdownWriting(fd: number): void;
}

/** What the kernel tells by itself. */
export interface EventCalls {
  inotifyInit(): Fd;
  inotifyAddWatch(fd: number, path: string, mask: number): number;
  inotifyRemoveWatch(fd: number, watch: number): void;
  epollCreate(): Fd;
  epollAdd(epfd: number, fd: number, events: number, data: bigint): void;
  epollRemove(epfd: number, fd: number): void;
  /** Events that are there now, at most `limit`; never waits. */
  epollTake(epfd: number, limit: number): EpollEvent[];
  eventfd(initial: number): Fd;
}

export interface Kernel
  extends
    FileCalls,
    AttributeCalls,
    DescriptorCalls,
    NamespaceCalls,
    ProcessCalls,
    SocketCalls,
    EventCalls {}
