/**
 * One process per directory, by a lock of the kernel that a crash frees.
 *
 * @module
 */
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import { LOCK_EX, LOCK_NB, O_DIRECTORY, O_RDONLY } from "./constants.ts";
import type { Kernel } from "./kernel.ts";

/**
 * Locks a directory for this process until the result is disposed or the process ends.
 *
 * @throws {FailedPreconditionError} another process holds it; names its pid if it can be known
 */
export function lockDirectory(kernel: Kernel, path: string): Disposable {
  const directory = kernel.open(path, O_RDONLY | O_DIRECTORY);
  try {
    if (kernel.flock(directory.number, LOCK_EX | LOCK_NB)) return directory;
    const { inode, deviceMajor, deviceMinor } = kernel.statx(directory.number, "", 0x1000);
    const holder = holderOf(deviceMajor, deviceMinor, inode);
    throw new FailedPreconditionError(
      `Directory ${shown(path)} is in use by ${
        holder === undefined ? "another process" : `process ${holder}`
      }`,
      { path, remedy: "stop that process, or give this one a root of its own" },
    );
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** The pid that /proc/locks names for a flock on a file, if it is one of this PID namespace. */
function holderOf(major: number, minor: number, inode: bigint): number | undefined {
  const hex = (n: number) => n.toString(16).padStart(2, "0");
  const file = `${hex(major)}:${hex(minor)}:${inode}`;
  let table: string;
  try {
    table = Deno.readTextFileSync("/proc/locks");
  } catch {
    return undefined;
  }
  for (const line of table.split("\n")) {
    const [, type, , , pid, where] = line.trim().split(/\s+/);
    if (type === "FLOCK" && where === file && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}
