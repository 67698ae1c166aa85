/**
 * Descriptors that this process was started with, kept from its children.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import type { Kernel } from "./kernel.ts";

/**
 * Makes every descriptor above standard error close-on-exec. Deno's own and those of {@link Kernel}
 * already are; what a parent left open is not, and would pass through to every container. Call it
 * once at start, before any child.
 */
export function sealDescriptors(kernel: Kernel): void {
  // The list is complete before the first change, and holds the descriptor that read it.
  for (const { name } of [...Deno.readDirSync("/proc/self/fd")]) {
    const fd = Number(name);
    if (fd <= 2) continue;
    try {
      kernel.setCloexec(fd, true);
    } catch (error) {
      if (!isErrno(error, "EBADF")) throw error;
    }
  }
}
