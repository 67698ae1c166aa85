/**
 * Kernel structures as bytes. Offsets are those of 64-bit little-endian Linux; only `epoll_event`
 * differs between x86_64 (packed) and aarch64.
 *
 * @module
 */
import { isIP } from "node:net";
import { InvalidArgumentError, shown } from "../../errors/mod.ts";
import {
  AF_INET,
  AF_INET6,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../constants.ts";
import { decodePath } from "../bytes_path.ts";
import type { EpollEvent, FileStat, FileSystemStat, FileTime, OpenHow } from "../kernel.ts";

export const STATX_SIZE = 256;
export const STATFS_SIZE = 120;
const EPOLL_DATA_OFFSET = Deno.build.arch === "aarch64" ? 8 : 4;
export const EPOLL_EVENT_SIZE = EPOLL_DATA_OFFSET + 8;

const TYPES: ReadonlyMap<number, FileStat["type"]> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFIFO, "fifo"],
  [S_IFSOCK, "socket"],
  [S_IFCHR, "char"],
  [S_IFBLK, "block"],
]);

/** `st_mode` bits of a type of node. */
export const TYPE_BITS = {
  file: S_IFREG,
  fifo: S_IFIFO,
  char: S_IFCHR,
  block: S_IFBLK,
  socket: S_IFSOCK,
} as const;

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function decodeStatx(bytes: Uint8Array): FileStat {
  const v = view(bytes);
  const mode = v.getUint16(28, true);
  return {
    type: TYPES.get(mode & S_IFMT) ?? "file",
    mode: mode & 0o7777,
    uid: v.getUint32(20, true),
    gid: v.getUint32(24, true),
    size: v.getBigUint64(40, true),
    blocks512: v.getBigUint64(48, true),
    nlink: v.getUint32(16, true),
    inode: v.getBigUint64(32, true),
    deviceMajor: v.getUint32(136, true),
    deviceMinor: v.getUint32(140, true),
    rdevMajor: v.getUint32(128, true),
    rdevMinor: v.getUint32(132, true),
    mtimeNs: v.getBigInt64(112, true) * 1_000_000_000n + BigInt(v.getUint32(120, true)),
    mountId: v.getBigUint64(144, true),
  };
}

export function decodeStatfs(bytes: Uint8Array): FileSystemStat {
  const v = view(bytes);
  return {
    type: Number(v.getBigUint64(0, true) & 0xffffffffn),
    blockSize: v.getBigUint64(8, true),
    blocks: v.getBigUint64(16, true),
    blocksFree: v.getBigUint64(24, true),
    blocksAvailable: v.getBigUint64(32, true),
    files: v.getBigUint64(40, true),
    filesFree: v.getBigUint64(48, true),
  };
}

export function encodeOpenHow(how: OpenHow): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(24);
  const v = view(bytes);
  v.setBigUint64(0, BigInt(how.flags), true);
  v.setBigUint64(8, BigInt(how.mode ?? 0), true);
  v.setBigUint64(16, BigInt(how.resolve ?? 0), true);
  return bytes;
}

const UTIME_OMIT = 0x3ffffffen;

/** Two `timespec`s, as `utimensat(2)` wants them. */
export function encodeTimes(accessed: FileTime, modified: FileTime): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(32);
  const v = view(bytes);
  [accessed, modified].forEach((time, index) => {
    v.setBigInt64(index * 16, time?.seconds ?? 0n, true);
    v.setBigInt64(index * 16 + 8, time === null ? UTIME_OMIT : BigInt(time.nanoseconds), true);
  });
  return bytes;
}

/** `dev_t` of a device number (glibc `makedev`). */
export function encodeDevice(major: number, minor: number): bigint {
  const [ma, mi] = [BigInt(major), BigInt(minor)];
  return ((ma & 0xfffn) << 8n) | (mi & 0xffn) | ((mi & ~0xffn) << 12n) | ((ma & ~0xfffn) << 32n);
}

const DIRENT_TYPES: ReadonlyMap<number, FileStat["type"]> = new Map([
  [1, "fifo"],
  [2, "char"],
  [4, "directory"],
  [6, "block"],
  [8, "file"],
  [10, "symlink"],
  [12, "socket"],
]);

/** Entries of one `getdents64(2)`, without `.` and `..`. */
export function* decodeDirents(
  bytes: Uint8Array,
): Generator<{ name: string; type: FileStat["type"] | "unknown" }> {
  const v = view(bytes);
  for (let at = 0; at < bytes.length;) {
    const length = v.getUint16(at + 16, true);
    const type = DIRENT_TYPES.get(bytes[at + 18] ?? 0) ?? "unknown";
    const end = bytes.indexOf(0, at + 19);
    const name = decodePath(bytes.subarray(at + 19, end));
    if (name !== "." && name !== "..") yield { name, type };
    at += length;
  }
}

/** `sockaddr_in` or `sockaddr_in6` of an IP address. @throws {InvalidArgumentError} it is none */
export function encodeSocketAddress(address: string, port: number): Uint8Array<ArrayBuffer> {
  const version = isIP(address);
  const bytes = new Uint8Array(version === 4 ? 16 : 28);
  view(bytes).setUint16(0, version === 4 ? AF_INET : AF_INET6, true);
  view(bytes).setUint16(2, port);
  if (version === 4) bytes.set(address.split(".").map(Number), 4);
  else if (version === 6) bytes.set(ipv6Bytes(address), 8);
  else {
    throw new InvalidArgumentError(`${shown(address)} is not an IP address`, { value: address });
  }
  return bytes;
}

/** Of `sockaddr_in` and `sockaddr_in6`, which have the port in the same place. */
export const SOCKET_ADDRESS_MAX = 28;

/** The port of a `sockaddr_in` or `sockaddr_in6`. */
export function decodePort(bytes: Uint8Array): number {
  return view(bytes).getUint16(2);
}

/** The URL parser writes any form of an IPv6 address as hexadecimal groups. */
function ipv6Bytes(address: string): number[] {
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const [left, right] = [groups(head), groups(tail ?? "")];
  const zeros = Array(8 - left.length - right.length).fill("0");
  return [...left, ...zeros, ...right].flatMap((group) => {
    const value = parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** `struct iovec` of each part. The parts must be kept while the kernel looks at it. */
export function encodeIoVector(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16 * parts.length);
  const v = view(bytes);
  parts.forEach((part, index) => {
    // Small arrays may lie in the heap, where they move: asking for their buffer takes them out of it.
    void part.buffer;
    const address = Deno.UnsafePointer.of(part as Uint8Array<ArrayBuffer>);
    v.setBigUint64(16 * index, Deno.UnsafePointer.value(address), true);
    v.setBigUint64(16 * index + 8, BigInt(part.length), true);
  });
  return bytes;
}

export function encodeEpollEvent(events: number, data: bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(EPOLL_EVENT_SIZE);
  view(bytes).setUint32(0, events, true);
  view(bytes).setBigUint64(EPOLL_DATA_OFFSET, data, true);
  return bytes;
}

export function decodeEpollEvents(bytes: Uint8Array, count: number): EpollEvent[] {
  const v = view(bytes);
  return Array.from({ length: count }, (_, index) => ({
    events: v.getUint32(index * EPOLL_EVENT_SIZE, true),
    data: v.getBigUint64(index * EPOLL_EVENT_SIZE + EPOLL_DATA_OFFSET, true),
  }));
}

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** `CMSG_LEN` of one descriptor. */
const ONE_DESCRIPTOR_LENGTH = 20n;
/** What a sender writes beside the descriptor: a path. */
const DATA_BYTES = 4096;

/** `msghdr` for `recvmsg(2)`, with room for data and for one descriptor; the kernel closes further ones. */
export class DescriptorMessage {
  readonly header: Uint8Array<ArrayBuffer> = new Uint8Array(56);
  readonly #data = new Uint8Array(DATA_BYTES);
  readonly #vector = new BigUint64Array([addressOf(this.#data), BigInt(DATA_BYTES)]);
  readonly #control = new Uint8Array(24);

  constructor() {
    const v = view(this.header);
    v.setBigUint64(16, addressOf(this.#vector), true);
    v.setBigUint64(24, 1n, true);
    v.setBigUint64(32, addressOf(this.#control), true);
    v.setBigUint64(40, BigInt(this.#control.length), true);
  }

  /** Number of the descriptor that came, after the call. */
  descriptor(): number | undefined {
    const length = view(this.header).getBigUint64(40, true);
    const v = view(this.#control);
    const there = length >= ONE_DESCRIPTOR_LENGTH &&
      v.getBigUint64(0, true) === ONE_DESCRIPTOR_LENGTH &&
      v.getInt32(8, true) === SOL_SOCKET && v.getInt32(12, true) === SCM_RIGHTS;
    return there ? v.getInt32(16, true) : undefined;
  }
}

function addressOf(bytes: Uint8Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
}
