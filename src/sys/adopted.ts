/**
 * Descriptors of ours on Deno's own event loop, without a thread: the one file that touches Node's
 * internal stream handles (`process.binding`), which Deno implements but does not promise.
 *
 * @module
 */
import { Socket } from "node:net";
import process from "node:process";
import { InternalError } from "../errors/mod.ts";
import type { Fd } from "./kernel.ts";

interface StreamHandle {
  /** 0, or a negative errno. */
  open(fd: number): number;
}

/**
 * Reads and writes a pipe, a unix socket (SEQPACKET keeps its packet boundaries: one `data` event or
 * write each), an inotify descriptor or an eventfd through the event loop. The socket owns the
 * descriptor from here on; `destroy()` closes it.
 */
export function adoptStream(fd: Fd): Socket {
  return adopt(fd, "pipe_wrap", (binding) => new binding.Pipe(0), { writable: true });
}

/**
 * As {@link adoptStream}, for the reading end of a pipe. Deno's sockets end their writing side when the
 * reading side has ended, and one that is destroyed before that is done is never forgotten.
 */
export function adoptReader(fd: Fd): Socket {
  return adopt(fd, "pipe_wrap", (binding) => new binding.Pipe(0), { writable: false });
}

/** As {@link adoptStream}, for a connected TCP socket. The peer's end leaves our own half open. */
export function adoptTcp(fd: Fd): Socket {
  return adopt(fd, "tcp_wrap", (binding) => new binding.TCP(0), { allowHalfOpen: true });
}

function adopt(
  fd: Fd,
  name: "pipe_wrap" | "tcp_wrap",
  // deno-lint-ignore no-explicit-any -- internal classes without published types
  construct: (binding: any) => StreamHandle,
  sides: { readonly writable?: boolean; readonly allowHalfOpen?: boolean },
): Socket {
  const { binding } = process as unknown as { binding: (name: string) => unknown };
  const handle = construct(binding.call(process, name));
  const result = handle.open(fd.number);
  if (result !== 0) {
    throw new InternalError(`Descriptor ${fd.number} could not join the event loop`, {
      errno: -result,
      syscall: "open",
    });
  }
  fd.release();
  const options = { handle, ...sides };
  return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
}

/** The descriptor number of a socket on the event loop, or undefined if it is closed. */
export function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle: { fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}
