/**
 * The real {@link Kernel}: glibc through Deno's foreign function interface.
 *
 * @module
 */
import {
  InternalError,
  InvalidArgumentError,
  ResourceExhaustedError,
  shown,
} from "../errors/mod.ts";
import type { TerminalSize } from "../model/mod.ts";
import { cPath, decodePath, encodePath } from "./bytes_path.ts";
import { AT_FDCWD, LOCK_NB, O_CLOEXEC, O_DIRECTORY, O_PATH } from "./constants.ts";
import type {
  EpollEvent,
  Fd,
  FileStat,
  FileSystemStat,
  FileTime,
  Kernel,
  OpenHow,
  PeerCredentials,
} from "./kernel.ts";
import { Libc, SYS_openat2, SYS_pidfd_open, SYS_pidfd_send_signal } from "./_libc.ts";
import {
  decodeDirents,
  decodeEpollEvents,
  decodeStatfs,
  decodeStatx,
  DescriptorMessage,
  encodeDevice,
  encodeEpollEvent,
  encodeOpenHow,
  encodeSocketAddress,
  encodeTimes,
  EPOLL_EVENT_SIZE,
  STATFS_SIZE,
  STATX_SIZE,
  TYPE_BITS,
} from "./_structs.ts";

const STATX_BASIC_STATS = 0x7ff;
const STATX_MNT_ID = 0x1000;
const SOCK_CLOEXEC = O_CLOEXEC;
const O_NONBLOCK = 0o4000;
const EBADF = 9;
const EINTR = 4;
const PATH_MAX = 4096;
const XATTR_SIZE_MAX = 65536;
const XATTR_LIST_MAX = 65536;
const READDIR_BUFFER = 65536;
const READDIR_LIMIT = 4_000_000;
const SIOCGIFFLAGS = 0x8913n;
const SIOCSIFFLAGS = 0x8914n;
const IFNAMSIZ = 16;
const IFF_UP = 1;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SUN_PATH_MAX = 107;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const F_SETPIPE_SZ = 1031;
const FIONREAD = 0x541bn;
const TIOCSWINSZ = 0x5414n;

/** Type of the buffers that the interface of foreign functions takes. */
type Bytes = Uint8Array<ArrayBuffer>;

/**
 * The kernel of this machine, for the calling thread: a worker makes its own.
 *
 * @throws {InternalError} unless this is 64-bit Linux on x86_64 or aarch64
 */
export function createLinuxKernel(): Kernel {
  const { os, arch } = Deno.build;
  if (os !== "linux" || (arch !== "x86_64" && arch !== "aarch64")) {
    throw new InternalError(
      `System calls are known for Linux on x86_64 and aarch64, not ${os} ${arch}`,
    );
  }
  return new LinuxKernel(new Libc());
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
      throw this.#libc.error("close", this.#libc.errno, `descriptor ${this.number}`);
    }
  }

  release(): number {
    if (!this.#open) throw this.#libc.error("release", EBADF, `descriptor ${this.number}`);
    this.#open = false;
    return this.number;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

class LinuxKernel implements Kernel {
  readonly #libc: Libc;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  open(path: string, flags: number, mode = 0): Fd {
    const name = cPath(path);
    return this.#fd("open", () => shown(path), (c) => c.open(name, flags | O_CLOEXEC, mode));
  }

  openat(dirFd: number, path: string, flags: number, mode = 0): Fd {
    const name = cPath(path);
    return this.#fd(
      "openat",
      () => shown(path),
      (c) => c.openat(dirFd, name, flags | O_CLOEXEC, mode),
    );
  }

  openat2(dirFd: number, path: string, how: OpenHow): Fd {
    const name = cPath(path);
    const bytes = encodeOpenHow({ ...how, flags: how.flags | O_CLOEXEC });
    const { raw } = this.#libc;
    // RESOLVE_IN_ROOT answers EAGAIN when a rename elsewhere made it unsure; trying again is right.
    for (let attempt = 0;; attempt++) {
      try {
        return this.#fd(
          "openat2",
          () => shown(path),
          () => raw.openat2(SYS_openat2, dirFd, name, bytes, BigInt(bytes.length)),
        );
      } catch (error) {
        const again = (error as { code?: string }).code === "EAGAIN";
        if (!again || attempt >= 128) throw error;
      }
    }
  }

  read(fd: number, into: Uint8Array): number {
    return this.#check(
      "read",
      () => descriptor(fd),
      (c) => c.read(fd, into as Bytes, BigInt(into.length)),
    );
  }

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    return this.#check(
      "pread",
      () => descriptor(fd),
      (c) => c.pread(fd, into as Bytes, BigInt(into.length), offset),
    );
  }

  write(fd: number, bytes: Uint8Array): number {
    return this.#check(
      "write",
      () => descriptor(fd),
      (c) => c.write(fd, bytes as Bytes, BigInt(bytes.length)),
    );
  }

  statx(dirFd: number, path: string, flags: number): FileStat {
    const name = cPath(path);
    const out = new Uint8Array(STATX_SIZE);
    this.#check(
      "statx",
      () => path === "" ? descriptor(dirFd) : shown(path),
      (c) => c.statx(dirFd, name, flags, STATX_BASIC_STATS | STATX_MNT_ID, out),
    );
    return decodeStatx(out);
  }

  statfs(path: string): FileSystemStat {
    const name = cPath(path);
    const out = new Uint8Array(STATFS_SIZE);
    this.#check("statfs", () => shown(path), (c) => c.statfs(name, out));
    return decodeStatfs(out);
  }

  fstatfs(fd: number): FileSystemStat {
    const out = new Uint8Array(STATFS_SIZE);
    this.#check("fstatfs", () => descriptor(fd), (c) => c.fstatfs(fd, out));
    return decodeStatfs(out);
  }

  mkdirat(dirFd: number, path: string, mode: number): void {
    const name = cPath(path);
    this.#check("mkdirat", () => shown(path), (c) => c.mkdirat(dirFd, name, mode));
  }

  unlinkat(dirFd: number, path: string, flags: number): void {
    const name = cPath(path);
    this.#check("unlinkat", () => shown(path), (c) => c.unlinkat(dirFd, name, flags));
  }

  renameat2(oldDir: number, oldPath: string, newDir: number, newPath: string, flags: number): void {
    const [from, to] = [cPath(oldPath), cPath(newPath)];
    this.#check(
      "renameat2",
      () => `${shown(oldPath)} to ${shown(newPath)}`,
      (c) => c.renameat2(oldDir, from, newDir, to, flags),
    );
  }

  symlinkat(target: string, dirFd: number, path: string): void {
    const [to, name] = [cPath(target), cPath(path)];
    this.#check("symlinkat", () => shown(path), (c) => c.symlinkat(to, dirFd, name));
  }

  linkat(oldDir: number, oldPath: string, newDir: number, newPath: string, flags: number): void {
    const [from, to] = [cPath(oldPath), cPath(newPath)];
    this.#check(
      "linkat",
      () => `${shown(oldPath)} to ${shown(newPath)}`,
      (c) => c.linkat(oldDir, from, newDir, to, flags),
    );
  }

  mknodat(
    dirFd: number,
    path: string,
    type: keyof typeof TYPE_BITS,
    mode: number,
    device: { readonly major: number; readonly minor: number },
  ): void {
    const name = cPath(path);
    const number = encodeDevice(device.major, device.minor);
    this.#check(
      "mknodat",
      () => shown(path),
      (c) => c.mknodat(dirFd, name, TYPE_BITS[type] | mode, number),
    );
  }

  readlinkat(dirFd: number, path: string): string {
    const name = cPath(path);
    const out = new Uint8Array(PATH_MAX + 1);
    const length = this.#check(
      "readlinkat",
      () => path === "" ? descriptor(dirFd) : shown(path),
      (c) => c.readlinkat(dirFd, name, out, BigInt(out.length)),
    );
    return decodePath(out.subarray(0, length));
  }

  fchownat(dirFd: number, path: string, uid: number, gid: number, flags: number): void {
    const name = cPath(path);
    this.#check("fchownat", () => shown(path), (c) => c.fchownat(dirFd, name, uid, gid, flags));
  }

  fchmod(fd: number, mode: number): void {
    this.#check("fchmod", () => descriptor(fd), (c) => c.fchmod(fd, mode));
  }

  fchmodat(dirFd: number, path: string, mode: number): void {
    const name = cPath(path);
    this.#check("fchmodat", () => shown(path), (c) => c.fchmodat(dirFd, name, mode, 0));
  }

  utimensat(
    dirFd: number,
    path: string,
    accessed: FileTime,
    modified: FileTime,
    flags: number,
  ): void {
    const name = cPath(path);
    const times = encodeTimes(accessed, modified);
    this.#check("utimensat", () => shown(path), (c) => c.utimensat(dirFd, name, times, flags));
  }

  readdir(fd: number): { name: string; type: FileStat["type"] | "unknown" }[] {
    this.#check("lseek", () => descriptor(fd), (c) => c.lseek(fd, 0n, 0));
    const entries: { name: string; type: FileStat["type"] | "unknown" }[] = [];
    const buffer = new Uint8Array(READDIR_BUFFER);
    for (;;) {
      const length = this.#check(
        "getdents64",
        () => descriptor(fd),
        (c) => c.getdents64(fd, buffer, BigInt(buffer.length)),
      );
      if (length === 0) return entries;
      entries.push(...decodeDirents(buffer.subarray(0, length)));
      if (entries.length > READDIR_LIMIT) {
        throw new ResourceExhaustedError(
          `Directory of descriptor ${fd} has more than ${READDIR_LIMIT} entries`,
        );
      }
    }
  }

  copyFileRange(fromFd: number, toFd: number, length: number): number {
    return this.#check(
      "copy_file_range",
      () => `${descriptor(fromFd)} to ${descriptor(toFd)}`,
      (c) => c.copy_file_range(fromFd, null, toFd, null, BigInt(length), 0),
    );
  }

  ftruncate(fd: number, length: bigint): void {
    this.#check("ftruncate", () => descriptor(fd), (c) => c.ftruncate(fd, length));
  }

  fallocate(fd: number, mode: number, offset: bigint, length: bigint): void {
    this.#check("fallocate", () => descriptor(fd), (c) => c.fallocate(fd, mode, offset, length));
  }

  lsetxattr(path: string, name: string, value: Uint8Array): void {
    const [cpath, cname] = [cPath(path), cPath(name)];
    this.#check(
      "lsetxattr",
      () => `${shown(name)} of ${shown(path)}`,
      (c) => c.lsetxattr(cpath, cname, value as Bytes, BigInt(value.length), 0),
    );
  }

  lgetxattr(path: string, name: string): Uint8Array | undefined {
    const [cpath, cname] = [cPath(path), cPath(name)];
    const out = new Uint8Array(XATTR_SIZE_MAX);
    try {
      const length = this.#check(
        "lgetxattr",
        () => `${shown(name)} of ${shown(path)}`,
        (c) => c.lgetxattr(cpath, cname, out, BigInt(out.length)),
      );
      return out.slice(0, length);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "ENODATA" || code === "EOPNOTSUPP") return undefined;
      throw error;
    }
  }

  llistxattr(path: string): string[] {
    const name = cPath(path);
    const out = new Uint8Array(XATTR_LIST_MAX);
    const length = this.#check(
      "llistxattr",
      () => shown(path),
      (c) => c.llistxattr(name, out, BigInt(out.length)),
    );
    return decodePath(out.subarray(0, length)).split("\0").filter((entry) => entry !== "");
  }

  fsync(fd: number): void {
    this.#check("fsync", () => descriptor(fd), (c) => c.fsync(fd));
  }

  syncfs(fd: number): void {
    this.#check("syncfs", () => descriptor(fd), (c) => c.syncfs(fd));
  }

  flock(fd: number, operation: number): boolean {
    try {
      this.#check("flock", () => descriptor(fd), (c) => c.flock(fd, operation));
      return true;
    } catch (error) {
      if ((operation & LOCK_NB) !== 0 && (error as { code?: string }).code === "EAGAIN") {
        return false;
      }
      throw error;
    }
  }

  umask(mask: number): number {
    return this.#libc.call.umask(mask);
  }

  mount(
    source: string,
    target: string,
    type: string | null,
    flags: bigint,
    data: string | null,
  ): void {
    const [from, to] = [cPath(source), cPath(target)];
    const kind = type === null ? null : cPath(type);
    const options = data === null ? null : cPath(data);
    this.#check(
      "mount",
      () => `${shown(source)} on ${shown(target)}`,
      (c) => c.mount(from, to, kind, flags, options),
    );
  }

  umount2(target: string, flags: number): void {
    const name = cPath(target);
    this.#check("umount2", () => shown(target), (c) => c.umount2(name, flags));
  }

  unshare(flags: number): void {
    this.#check("unshare", () => `0x${flags.toString(16)}`, (c) => c.unshare(flags));
  }

  setns(fd: number, type: number): void {
    this.#check("setns", () => descriptor(fd), (c) => c.setns(fd, type));
  }

  sethostname(name: string): void {
    const bytes = encodePath(name);
    this.#check(
      "sethostname",
      () => shown(name),
      (c) => c.sethostname(bytes, BigInt(bytes.length)),
    );
  }

  setdomainname(name: string): void {
    const bytes = encodePath(name);
    this.#check(
      "setdomainname",
      () => shown(name),
      (c) => c.setdomainname(bytes, BigInt(bytes.length)),
    );
  }

  bringInterfaceUp(name: string): void {
    const nameBytes = cPath(name);
    if (nameBytes.length > IFNAMSIZ) {
      throw new InvalidArgumentError(`Interface name ${shown(name)} is longer than 15 bytes`, {
        value: name,
      });
    }
    const request = new Uint8Array(40);
    request.set(nameBytes);
    using control = this.socket(2, 2, 0);
    const what = () => `interface ${shown(name)}`;
    this.#check("ioctl", what, (c) => c.ioctl(control.number, SIOCGIFFLAGS, request));
    const flags = new DataView(request.buffer);
    flags.setUint16(IFNAMSIZ, flags.getUint16(IFNAMSIZ, true) | IFF_UP, true);
    this.#check("ioctl", what, (c) => c.ioctl(control.number, SIOCSIFFLAGS, request));
  }

  pidfdOpen(pid: number): Fd {
    const { raw } = this.#libc;
    return this.#fd(
      "pidfd_open",
      () => `process ${pid}`,
      () => raw.pidfd(SYS_pidfd_open, BigInt(pid), 0n, 0n, 0n),
    );
  }

  pidfdSendSignal(pidfd: number, signal: number): void {
    const { raw } = this.#libc;
    this.#check(
      "pidfd_send_signal",
      () => `signal ${signal} to ${descriptor(pidfd)}`,
      () => raw.pidfd(SYS_pidfd_send_signal, BigInt(pidfd), BigInt(signal), 0n, 0n),
    );
  }

  kill(pid: number, signal: number): void {
    this.#check("kill", () => `signal ${signal} to process ${pid}`, (c) => c.kill(pid, signal));
  }

  getpid(): number {
    return this.#libc.call.getpid();
  }

  prctl(option: number, arg2: bigint, arg3 = 0n): number {
    return this.#check(
      "prctl",
      () => `option ${option}`,
      (c) => c.prctl(option, arg2, arg3, 0n, 0n),
    );
  }

  pipe2(flags: number): { readonly read: Fd; readonly write: Fd } {
    const out = new Int32Array(2);
    this.#check("pipe2", () => "", (c) => c.pipe2(out, flags | O_CLOEXEC));
    return { read: this.#own(out[0]), write: this.#own(out[1]) };
  }

  socketpair(domain: number, type: number): { readonly a: Fd; readonly b: Fd } {
    const out = new Int32Array(2);
    this.#check(
      "socketpair",
      () => `domain ${domain}`,
      (c) => c.socketpair(domain, type | SOCK_CLOEXEC, 0, out),
    );
    return { a: this.#own(out[0]), b: this.#own(out[1]) };
  }

  socket(domain: number, type: number, protocol: number): Fd {
    return this.#fd(
      "socket",
      () => `domain ${domain}`,
      (c) => c.socket(domain, type | SOCK_CLOEXEC, protocol),
    );
  }

  own(number: number): Fd {
    return new LinuxFd(this.#libc, number);
  }

  connectUnix(fd: number, path: string): void {
    const bytes = encodePath(path);
    // The length counts in an abstract name: NULs after it would be part of it.
    if (path.startsWith("\0")) {
      if (bytes.length > SUN_PATH_MAX + 1) {
        throw new InvalidArgumentError(`Socket name ${shown(path)} is too long`, { path });
      }
      const address = new Uint8Array(2 + bytes.length);
      new DataView(address.buffer).setUint16(0, 1, true);
      address.set(bytes, 2);
      this.#check("connect", () => shown(path), (c) => c.connect(fd, address, address.length));
      return;
    }
    if (bytes.length > SUN_PATH_MAX) {
      const at = path.lastIndexOf("/");
      using directory = this.open(path.slice(0, at + 1) || ".", O_PATH | O_DIRECTORY);
      const short = `/proc/self/fd/${directory.number}/${path.slice(at + 1)}`;
      if (encodePath(short).length > SUN_PATH_MAX) {
        throw new InvalidArgumentError(`Socket name of ${shown(path)} is too long`, { path });
      }
      this.connectUnix(fd, short);
      return;
    }
    const address = unixAddress(path);
    this.#check("connect", () => shown(path), (c) => c.connect(fd, address, address.length));
  }

  bindUnix(fd: number, path: string): void {
    const address = unixAddress(path);
    this.#check("bind", () => shown(path), (c) => c.bind(fd, address, address.length));
  }

  listen(fd: number, backlog: number): void {
    this.#check("listen", () => descriptor(fd), (c) => c.listen(fd, backlog));
  }

  accept(fd: number): Fd {
    return this.#fd(
      "accept4",
      () => descriptor(fd),
      (c) => c.accept4(fd, null, null, SOCK_CLOEXEC),
    );
  }

  receiveDescriptor(fd: number): Fd | undefined {
    const message = new DescriptorMessage();
    this.#check(
      "recvmsg",
      () => descriptor(fd),
      (c) => c.recvmsg(fd, message.header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT),
    );
    const received = message.descriptor();
    return received === undefined ? undefined : this.#own(received);
  }

  connectTcp(fd: number, address: string, port: number): void {
    const bytes = encodeSocketAddress(address, port);
    try {
      this.#check(
        "connect",
        () => `${address} port ${port}`,
        (c) => c.connect(fd, bytes, bytes.length),
      );
    } catch (error) {
      if ((error as { code?: string }).code !== "EINPROGRESS") throw error;
    }
  }

  peerCredentials(fd: number): PeerCredentials {
    const out = new Int32Array(3);
    const length = new Uint32Array([12]);
    this.#check(
      "getsockopt",
      () => descriptor(fd),
      (c) => c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, out, length),
    );
    const [pid = 0, uid = 0, gid = 0] = out;
    return { pid, uid: uid >>> 0, gid: gid >>> 0 };
  }

  setCloexec(fd: number, on: boolean): void {
    this.#setFlag(fd, { get: 1, set: 2, bit: 1, on });
  }

  setNonblocking(fd: number, on: boolean): void {
    this.#setFlag(fd, { get: 3, set: 4, bit: O_NONBLOCK, on });
  }

  unreadBytes(fd: number): number {
    const out = new Int32Array(1);
    const bytes = new Uint8Array(out.buffer);
    this.#check("ioctl", () => descriptor(fd), (c) => c.ioctl(fd, FIONREAD, bytes));
    return out[0] ?? 0;
  }

  setPipeCapacity(fd: number, bytes: number): number {
    return this.#check(
      "fcntl",
      () => descriptor(fd),
      (c) => c.fcntl(fd, F_SETPIPE_SZ, BigInt(bytes)),
    );
  }

  setTerminalSize(fd: number, { columns, rows }: TerminalSize): void {
    const size = new Uint8Array(new Uint16Array([rows, columns, 0, 0]).buffer);
    this.#check("ioctl", () => descriptor(fd), (c) => c.ioctl(fd, TIOCSWINSZ, size));
  }

  #setFlag(fd: number, flag: { get: number; set: number; bit: number; on: boolean }): void {
    const before = this.#check("fcntl", () => descriptor(fd), (c) => c.fcntl(fd, flag.get, 0n));
    const after = flag.on ? before | flag.bit : before & ~flag.bit;
    this.#check("fcntl", () => descriptor(fd), (c) => c.fcntl(fd, flag.set, BigInt(after)));
  }

  inotifyInit(): Fd {
    return this.#fd("inotify_init1", () => "", (c) => c.inotify_init1(O_CLOEXEC | O_NONBLOCK));
  }

  inotifyAddWatch(fd: number, path: string, mask: number): number {
    const name = cPath(path);
    return this.#check(
      "inotify_add_watch",
      () => shown(path),
      (c) => c.inotify_add_watch(fd, name, mask),
    );
  }

  inotifyRemoveWatch(fd: number, watch: number): void {
    this.#check("inotify_rm_watch", () => `watch ${watch}`, (c) => c.inotify_rm_watch(fd, watch));
  }

  epollCreate(): Fd {
    return this.#fd("epoll_create1", () => "", (c) => c.epoll_create1(O_CLOEXEC));
  }

  epollAdd(epfd: number, fd: number, events: number, data: bigint): void {
    const event = encodeEpollEvent(events, data);
    this.#check("epoll_ctl", () => descriptor(fd), (c) => c.epoll_ctl(epfd, 1, fd, event));
  }

  epollRemove(epfd: number, fd: number): void {
    this.#check("epoll_ctl", () => descriptor(fd), (c) => c.epoll_ctl(epfd, 2, fd, null));
  }

  epollTake(epfd: number, limit: number): EpollEvent[] {
    const out = new Uint8Array(EPOLL_EVENT_SIZE * limit);
    const count = this.#check(
      "epoll_wait",
      () => descriptor(epfd),
      (c) => c.epoll_wait(epfd, out, limit, 0),
    );
    return decodeEpollEvents(out, count);
  }

  eventfd(initial: number): Fd {
    return this.#fd("eventfd", () => "", (c) => c.eventfd(initial, O_CLOEXEC | O_NONBLOCK));
  }

  #check(
    syscall: string,
    what: () => string,
    call: (symbols: Libc["call"]) => number | bigint,
  ): number {
    return this.#libc.check(syscall, what, () => call(this.#libc.call));
  }

  #fd(
    syscall: string,
    what: () => string,
    call: (symbols: Libc["call"]) => number | bigint,
  ): Fd {
    return new LinuxFd(this.#libc, this.#check(syscall, what, call));
  }

  #own(number: number | undefined): Fd {
    return new LinuxFd(this.#libc, number ?? -1);
  }
}

/** `sockaddr_un` of a path. @throws {InvalidArgumentError} it is too long */
function unixAddress(path: string): Bytes {
  const name = cPath(path);
  if (name.length > SUN_PATH_MAX + 1) {
    throw new InvalidArgumentError(`Socket name ${shown(path)} is too long`, { path });
  }
  const address = new Uint8Array(2 + SUN_PATH_MAX + 1);
  new DataView(address.buffer).setUint16(0, 1, true);
  address.set(name, 2);
  return address;
}

function descriptor(fd: number): string {
  return fd === AT_FDCWD ? "the working directory" : `descriptor ${fd}`;
}
