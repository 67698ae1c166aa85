/** What is done with a descriptor, whatever it is of. @module */
import { LOCK_NB, O_CLOEXEC, O_NONBLOCK } from "../constants.ts";
import type { DescriptorCalls } from "../kernel.ts";
import { type Bytes, type Calls, descriptor } from "./calls.ts";
import { encodeIoVector } from "./structs.ts";

/** Commands of fcntl(2): F_GETFD and F_SETFD, F_GETFL and F_SETFL. */
const DESCRIPTOR_FLAGS = { get: 1, set: 2 };
const STATUS_FLAGS = { get: 3, set: 4 };
const FD_CLOEXEC = 1;
const F_SETPIPE_SZ = 1031;
const FIONREAD = 0x541bn;
const TIOCSWINSZ = 0x5414n;

export function descriptorCalls(calls: Calls): DescriptorCalls {
  return {
    read(fd, into) {
      return calls.check(
        "read",
        () => descriptor(fd),
        (c) => c.read(fd, into as Bytes, BigInt(into.length)),
      );
    },

    pread(fd, into, offset) {
      return calls.check(
        "pread",
        () => descriptor(fd),
        (c) => c.pread(fd, into as Bytes, BigInt(into.length), offset),
      );
    },

    write(fd, bytes) {
      return calls.check(
        "write",
        () => descriptor(fd),
        (c) => c.write(fd, bytes as Bytes, BigInt(bytes.length)),
      );
    },

    readNow(fd, into) {
      return calls.attempt(
        "read",
        () => descriptor(fd),
        (c) => c.read(fd, into as Bytes, BigInt(into.length)),
      );
    },

    writeNow(fd, parts) {
      const what = () => descriptor(fd);
      const [bytes, ...more] = parts;
      if (bytes === undefined) return 0;
      if (more.length === 0) {
        return calls.attempt(
          "write",
          what,
          (c) => c.write(fd, bytes as Bytes, BigInt(bytes.length)),
        );
      }
      const vector = encodeIoVector(parts);
      return calls.attempt("writev", what, (c) => c.writev(fd, vector, parts.length));
    },

    pipe2(flags) {
      const out = new Int32Array(2);
      calls.check("pipe2", () => "", (c) => c.pipe2(out, flags | O_CLOEXEC));
      const [read, write] = out;
      return { read: calls.own(read!), write: calls.own(write!) };
    },

    own(number) {
      return calls.own(number);
    },

    setCloexec(fd, on) {
      setFlag(calls, fd, { ...DESCRIPTOR_FLAGS, bit: FD_CLOEXEC, on });
    },

    setNonblocking(fd, on) {
      setFlag(calls, fd, { ...STATUS_FLAGS, bit: O_NONBLOCK, on });
    },

    unreadBytes(fd) {
      const out = new Int32Array(1);
      const bytes = new Uint8Array(out.buffer);
      calls.check("ioctl", () => descriptor(fd), (c) => c.ioctl(fd, FIONREAD, bytes));
      return out[0] ?? 0;
    },

    setPipeCapacity(fd, bytes) {
      return calls.check(
        "fcntl",
        () => descriptor(fd),
        (c) => c.fcntl(fd, F_SETPIPE_SZ, BigInt(bytes)),
      );
    },

    setTerminalSize(fd, { columns, rows }) {
      const size = new Uint8Array(new Uint16Array([rows, columns, 0, 0]).buffer);
      calls.check("ioctl", () => descriptor(fd), (c) => c.ioctl(fd, TIOCSWINSZ, size));
    },

    flock(fd, operation) {
      try {
        calls.check("flock", () => descriptor(fd), (c) => c.flock(fd, operation));
        return true;
      } catch (error) {
        if ((operation & LOCK_NB) !== 0 && (error as { code?: string }).code === "EAGAIN") {
          return false;
        }
        throw error;
      }
    },
  };
}

function setFlag(
  calls: Calls,
  fd: number,
  flag: { readonly get: number; readonly set: number; readonly bit: number; readonly on: boolean },
): void {
  const before = calls.check("fcntl", () => descriptor(fd), (c) => c.fcntl(fd, flag.get, 0n));
  const after = flag.on ? before | flag.bit : before & ~flag.bit;
  calls.check("fcntl", () => descriptor(fd), (c) => c.fcntl(fd, flag.set, BigInt(after)));
}
