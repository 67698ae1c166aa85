/**
 * The real {@link Kernel}: glibc through Deno's foreign function interface.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import type { Kernel } from "./kernel.ts";
import { attributeCalls } from "./linux/attributes.ts";
import { Calls } from "./linux/calls.ts";
import { descriptorCalls } from "./linux/descriptors.ts";
import { eventCalls } from "./linux/events.ts";
import { fileCalls } from "./linux/files.ts";
import { Libc } from "./linux/libc.ts";
import { namespaceCalls } from "./linux/namespaces.ts";
import { processCalls } from "./linux/processes.ts";
import { socketCalls } from "./linux/sockets.ts";

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
  const calls = new Calls(new Libc());
  return {
    ...fileCalls(calls),
    ...attributeCalls(calls),
    ...descriptorCalls(calls),
    ...namespaceCalls(calls),
    ...processCalls(calls),
    ...socketCalls(calls),
    ...eventCalls(calls),
  };
}
