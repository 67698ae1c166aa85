/**
 * Mounts: what is mounted where, binding, unmounting.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { decodePath } from "./bytes_path.ts";
import {
  MNT_DETACH,
  MS_BIND,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  UMOUNT_NOFOLLOW,
} from "./constants.ts";
import type { Kernel } from "./kernel.ts";

/** One line of /proc/PID/mountinfo (proc(5)). */
export interface MountEntry {
  readonly id: number;
  readonly parent: number;
  readonly major: number;
  readonly minor: number;
  /** Path inside the file system that is its root here: not `/` for bind mounts. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** `shared:N`, `master:N`, `propagate_from:N`, `unbindable`; empty for a private mount. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** Entries in the kernel's order: a mount stands after what it is mounted on. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    if (dash < 0) continue;
    const [id, parent, device = "", root = "", mountPoint = "", options = ""] = fields;
    const [type = "", source = "", superOptions = ""] = fields.slice(dash + 1);
    const [major, minor] = device.split(":");
    entries.push({
      id: Number(id),
      parent: Number(parent),
      major: Number(major),
      minor: Number(minor),
      root: unescape(root),
      mountPoint: unescape(mountPoint),
      options: options.split(","),
      propagation: fields.slice(6, dash),
      type,
      source: unescape(source),
      superOptions: superOptions.split(","),
    });
  }
  return entries;
}

/** All mounts of this process's mount namespace. */
export function readMounts(): MountEntry[] {
  return parseMountInfo(decodePath(Deno.readFileSync("/proc/self/mountinfo")));
}

/**
 * Mounts at a path and below it, in the order in which they can be unmounted. A path with several
 * mounts on top of each other appears several times.
 */
export function mountsBelow(
  path: string,
  mounts: readonly MountEntry[] = readMounts(),
): MountEntry[] {
  const prefix = path.endsWith("/") ? path : `${path}/`;
  return mounts
    .filter(({ mountPoint }) => mountPoint === path || mountPoint.startsWith(prefix))
    .reverse();
}

export function isMountPoint(path: string, mounts: readonly MountEntry[] = readMounts()): boolean {
  return mounts.some(({ mountPoint }) => mountPoint === path);
}

export interface BindOptions {
  readonly readOnly?: boolean;
  /** With the mounts below the source. */
  readonly recursive?: boolean;
}

/** Binds `source` onto `target`, which exists; the new mount is private. */
export function bindMount(
  kernel: Kernel,
  source: string,
  target: string,
  { readOnly = false, recursive = false }: BindOptions = {},
): void {
  const depth = recursive ? MS_REC : 0n;
  kernel.mount(source, target, null, MS_BIND | depth, null);
  try {
    kernel.mount("none", target, null, MS_PRIVATE | depth, null);
    // The kernel ignores MS_RDONLY on the first call of a bind mount.
    if (readOnly) {
      kernel.mount(
        "none",
        target,
        null,
        MS_BIND | MS_REMOUNT | MS_RDONLY | keptFlags(target),
        null,
      );
    }
  } catch (error) {
    kernel.umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
    throw error;
  }
}

/** A remount replaces all flags: those of the source's mount are named again. */
function keptFlags(target: string): bigint {
  const entry = readMounts().findLast(({ mountPoint }) => mountPoint === target);
  return (entry?.options ?? []).reduce((all, option) => all | (FLAGS_OF_OPTIONS[option] ?? 0n), 0n);
}

const FLAGS_OF_OPTIONS: Readonly<Record<string, bigint>> = {
  nosuid: MS_NOSUID,
  nodev: MS_NODEV,
  noexec: MS_NOEXEC,
  noatime: MS_NOATIME,
  nodiratime: MS_NODIRATIME,
  relatime: MS_RELATIME,
};

/**
 * Unmounts one mount: plainly, and lazily if it is busy. Returns false if nothing was mounted. May
 * wait on the file system: call it in a worker for mounts that may be slow.
 */
export function unmount(kernel: Kernel, target: string): boolean {
  try {
    kernel.umount2(target, UMOUNT_NOFOLLOW);
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL", "ENOENT")) return false;
    if (!isErrno(error, "EBUSY")) throw error;
  }
  try {
    kernel.umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL", "ENOENT")) return false;
    throw error;
  }
}

/** Unmounts everything at a path and below it. */
export function unmountBelow(kernel: Kernel, path: string): void {
  for (const { mountPoint } of mountsBelow(path)) unmount(kernel, mountPoint);
}

/** Space, tab, newline and backslash stand as three octal digits. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));
}
