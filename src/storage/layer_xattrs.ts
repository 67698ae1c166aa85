/**
 * Extended attributes of a layer's files.
 *
 * @module
 */
import { FailedPreconditionError, isErrno, shown } from "../errors/mod.ts";
import type { Kernel } from "../sys/mod.ts";

/**
 * Attributes that mean something in any container: capabilities, access lists, the user's own. Labels of
 * security modules, integrity hashes and `trusted.*` are the node's business and are left out.
 */
export function isLayerXattr(key: string): boolean {
  return key.startsWith("user.") || key === "security.capability" ||
    key === "system.posix_acl_access" || key === "system.posix_acl_default";
}

/** A name in an open directory of ours, and its path for calls that know no descriptors. */
export function pathAt(dirFd: number, name: string): string {
  // The descriptor is a safe start; the calls made with it do not follow the name after it.
  return `/proc/self/fd/${dirFd}/${name}`;
}

/** @throws {FailedPreconditionError} the file system keeps no such attribute; says what to do */
export function setLayerXattr(
  kernel: Kernel,
  { dirFd, name, key, value }: {
    readonly dirFd: number;
    readonly name: string;
    readonly key: string;
    readonly value: Uint8Array;
  },
): void {
  try {
    kernel.lsetxattr(pathAt(dirFd, name), key, value);
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP")) throw error;
    throw new FailedPreconditionError(
      `Cannot unpack the layer: its file system does not keep the attribute ${shown(key)}`,
      {
        cause: error,
        remedy: "put the root directory on a file system with extended attributes, such as ext4",
      },
    );
  }
}
