/** Files and directories, by directory descriptor. @module */
import { ResourceExhaustedError, shown } from "../../errors/mod.ts";
import { cPath, decodePath } from "../bytes_path.ts";
import { O_CLOEXEC } from "../constants.ts";
import type { FileCalls, FileStat } from "../kernel.ts";
import { type Calls, descriptor } from "./calls.ts";
import { SYS_openat2 } from "./libc.ts";
import { decodeDirents, encodeDevice, encodeOpenHow, TYPE_BITS } from "./structs.ts";

const PATH_MAX = 4096;
const READDIR_BUFFER = 65536;
const READDIR_LIMIT = 4_000_000;

export function fileCalls(calls: Calls): FileCalls {
  return {
    open(path, flags, mode = 0) {
      const name = cPath(path);
      return calls.fd("open", () => shown(path), (c) => c.open(name, flags | O_CLOEXEC, mode));
    },

    openat(dirFd, path, flags, mode = 0) {
      const name = cPath(path);
      return calls.fd(
        "openat",
        () => shown(path),
        (c) => c.openat(dirFd, name, flags | O_CLOEXEC, mode),
      );
    },

    openat2(dirFd, path, how) {
      const name = cPath(path);
      const bytes = encodeOpenHow({ ...how, flags: how.flags | O_CLOEXEC });
      const { raw } = calls.libc;
      // RESOLVE_IN_ROOT answers EAGAIN when a rename elsewhere made it unsure; trying again is right.
      for (let attempt = 0;; attempt++) {
        try {
          return calls.fd(
            "openat2",
            () => shown(path),
            () => raw.openat2(SYS_openat2, dirFd, name, bytes, BigInt(bytes.length)),
          );
        } catch (error) {
          const again = (error as { code?: string }).code === "EAGAIN";
          if (!again || attempt >= 128) throw error;
        }
      }
    },

    mkdirat(dirFd, path, mode) {
      const name = cPath(path);
      calls.check("mkdirat", () => shown(path), (c) => c.mkdirat(dirFd, name, mode));
    },

    unlinkat(dirFd, path, flags) {
      const name = cPath(path);
      calls.check("unlinkat", () => shown(path), (c) => c.unlinkat(dirFd, name, flags));
    },

    renameat2(oldDir, oldPath, newDir, newPath, flags) {
      const [from, to] = [cPath(oldPath), cPath(newPath)];
      calls.check(
        "renameat2",
        () => `${shown(oldPath)} to ${shown(newPath)}`,
        (c) => c.renameat2(oldDir, from, newDir, to, flags),
      );
    },

    symlinkat(target, dirFd, path) {
      const [to, name] = [cPath(target), cPath(path)];
      calls.check("symlinkat", () => shown(path), (c) => c.symlinkat(to, dirFd, name));
    },

    linkat(oldDir, oldPath, newDir, newPath, flags) {
      const [from, to] = [cPath(oldPath), cPath(newPath)];
      calls.check(
        "linkat",
        () => `${shown(oldPath)} to ${shown(newPath)}`,
        (c) => c.linkat(oldDir, from, newDir, to, flags),
      );
    },

    mknodat(dirFd, path, type, mode, device) {
      const name = cPath(path);
      const number = encodeDevice(device.major, device.minor);
      calls.check(
        "mknodat",
        () => shown(path),
        (c) => c.mknodat(dirFd, name, TYPE_BITS[type] | mode, number),
      );
    },

    readlinkat(dirFd, path) {
      const name = cPath(path);
      const out = new Uint8Array(PATH_MAX + 1);
      const length = calls.check(
        "readlinkat",
        () => path === "" ? descriptor(dirFd) : shown(path),
        (c) => c.readlinkat(dirFd, name, out, BigInt(out.length)),
      );
      return decodePath(out.subarray(0, length));
    },

    readdir(fd) {
      calls.check("lseek", () => descriptor(fd), (c) => c.lseek(fd, 0n, 0));
      const entries: { name: string; type: FileStat["type"] | "unknown" }[] = [];
      const buffer = new Uint8Array(READDIR_BUFFER);
      for (;;) {
        const length = calls.check(
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
    },

    copyFileRange(fromFd, toFd, length) {
      return calls.check(
        "copy_file_range",
        () => `${descriptor(fromFd)} to ${descriptor(toFd)}`,
        (c) => c.copy_file_range(fromFd, null, toFd, null, BigInt(length), 0),
      );
    },

    ftruncate(fd, length) {
      calls.check("ftruncate", () => descriptor(fd), (c) => c.ftruncate(fd, length));
    },

    fallocate(fd, mode, offset, length) {
      calls.check("fallocate", () => descriptor(fd), (c) => c.fallocate(fd, mode, offset, length));
    },

    fsync(fd) {
      calls.check("fsync", () => descriptor(fd), (c) => c.fsync(fd));
    },

    syncfs(fd) {
      calls.check("syncfs", () => descriptor(fd), (c) => c.syncfs(fd));
    },

    umask(mask) {
      return calls.libc.call.umask(mask);
    },
  };
}
