/** What is known of files and file systems: modes, owners, times, extended attributes, space. @module */
import { shown } from "../../errors/mod.ts";
import { cPath, decodePath } from "../bytes_path.ts";
import type { AttributeCalls } from "../kernel.ts";
import { type Bytes, type Calls, descriptor } from "./calls.ts";
import { decodeStatfs, decodeStatx, encodeTimes, STATFS_SIZE, STATX_SIZE } from "./structs.ts";

const STATX_BASIC_STATS = 0x7ff;
const STATX_MNT_ID = 0x1000;
const XATTR_SIZE_MAX = 65536;
const XATTR_LIST_MAX = 65536;

export function attributeCalls(calls: Calls): AttributeCalls {
  return {
    statx(dirFd, path, flags) {
      const name = cPath(path);
      const out = new Uint8Array(STATX_SIZE);
      calls.check(
        "statx",
        () => path === "" ? descriptor(dirFd) : shown(path),
        (c) => c.statx(dirFd, name, flags, STATX_BASIC_STATS | STATX_MNT_ID, out),
      );
      return decodeStatx(out);
    },

    statfs(path) {
      const name = cPath(path);
      const out = new Uint8Array(STATFS_SIZE);
      calls.check("statfs", () => shown(path), (c) => c.statfs(name, out));
      return decodeStatfs(out);
    },

    fstatfs(fd) {
      const out = new Uint8Array(STATFS_SIZE);
      calls.check("fstatfs", () => descriptor(fd), (c) => c.fstatfs(fd, out));
      return decodeStatfs(out);
    },

    fchownat(dirFd, path, uid, gid, flags) {
      const name = cPath(path);
      calls.check("fchownat", () => shown(path), (c) => c.fchownat(dirFd, name, uid, gid, flags));
    },

    fchmod(fd, mode) {
      calls.check("fchmod", () => descriptor(fd), (c) => c.fchmod(fd, mode));
    },

    fchmodat(dirFd, path, mode) {
      const name = cPath(path);
      calls.check("fchmodat", () => shown(path), (c) => c.fchmodat(dirFd, name, mode, 0));
    },

    utimensat(dirFd, path, accessed, modified, flags) {
      const name = cPath(path);
      const times = encodeTimes(accessed, modified);
      calls.check("utimensat", () => shown(path), (c) => c.utimensat(dirFd, name, times, flags));
    },

    lsetxattr(path, name, value) {
      const [cpath, cname] = [cPath(path), cPath(name)];
      calls.check(
        "lsetxattr",
        () => `${shown(name)} of ${shown(path)}`,
        (c) => c.lsetxattr(cpath, cname, value as Bytes, BigInt(value.length), 0),
      );
    },

    lgetxattr(path, name) {
      const [cpath, cname] = [cPath(path), cPath(name)];
      const out = new Uint8Array(XATTR_SIZE_MAX);
      try {
        const length = calls.check(
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
    },

    llistxattr(path) {
      const name = cPath(path);
      const out = new Uint8Array(XATTR_LIST_MAX);
      const length = calls.check(
        "llistxattr",
        () => shown(path),
        (c) => c.llistxattr(name, out, BigInt(out.length)),
      );
      return decodePath(out.subarray(0, length)).split("\0").filter((entry) => entry !== "");
    },
  };
}
