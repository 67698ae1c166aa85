/**
 * What a layer's tree looks like on disk, in one digest: written into the commit record when the layer is
 * made, compared after an unclean boot. A walk of names and attributes, no reading of contents: a power
 * cut leaves files short, empty or missing, which this sees.
 *
 * @module
 */
import { createHash } from "node:crypto";
import {
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  type FileStat,
  type Kernel,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
} from "../sys/mod.ts";

export interface TreeManifest {
  /** Inodes; a file with several names counts once. */
  readonly inodes: number;
  /** Names, the root's own not included. */
  readonly entries: number;
  /** Bytes on disk. */
  readonly diskBytes: bigint;
  /** `sha256:<hex>` over the sorted listing. */
  readonly listing: string;
}

/**
 * Walks a tree of ours, depth first, names sorted; memory is bounded by the widest branch.
 *
 * @throws {SyscallError} a directory cannot be read
 */
export function manifestOf(kernel: Kernel, root: string): TreeManifest {
  const hash = createHash("sha256");
  const linked = new Set<bigint>();
  let [entries, inodes, blocks] = [0, 0, 0n];

  const count = (depth: number, name: string, stat: FileStat, target: string): void => {
    if (stat.type !== "directory" && stat.nlink > 1) {
      if (!linked.has(stat.inode)) {
        linked.add(stat.inode);
        inodes++;
        blocks += stat.blocks512;
      }
    } else {
      inodes++;
      blocks += stat.blocks512;
    }
    hash.update(line(depth, name, stat, target));
  };

  const rootFd = kernel.open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const stack = [{ fd: rootFd, names: sortedNames(kernel, rootFd) }];
  try {
    count(0, "", kernel.statx(rootFd.number, ".", AT_SYMLINK_NOFOLLOW), "");
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const name = top.names.pop();
      if (name === undefined) {
        stack.pop();
        top.fd.close();
        continue;
      }
      const stat = kernel.statx(top.fd.number, name, AT_SYMLINK_NOFOLLOW);
      const target = stat.type === "symlink" ? kernel.readlinkat(top.fd.number, name) : "";
      entries++;
      count(stack.length, name, stat, target);
      if (stat.type === "directory") {
        const fd = kernel.openat(top.fd.number, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        stack.push({ fd, names: [] });
        stack[stack.length - 1] = { fd, names: sortedNames(kernel, fd) };
      }
    }
  } finally {
    for (const { fd } of stack) fd.close();
  }
  return { inodes, entries, diskBytes: blocks * 512n, listing: `sha256:${hash.digest("hex")}` };
}

/** Names in descending order: the walk takes them from the end. */
function sortedNames(kernel: Kernel, fd: Fd): string[] {
  return kernel.readdir(fd.number).map((entry) => entry.name).sort().reverse();
}

function line(depth: number, name: string, stat: FileStat, target: string): string {
  // Directory sizes are the file system's own affair; their times are not recorded for parents made
  // without an entry, so times of directories stay out.
  const directory = stat.type === "directory";
  return JSON.stringify([
    depth,
    name,
    stat.type,
    stat.mode,
    stat.uid,
    stat.gid,
    directory ? 0 : Number(stat.size),
    directory ? "" : stat.mtimeNs.toString(),
    directory ? 0 : stat.nlink,
    stat.rdevMajor,
    stat.rdevMinor,
    target,
  ]) + "\n";
}
