/**
 * Descriptors of ours on Deno's own event loop, without a thread: the one file that touches Node's
 * internal stream handles (`process.binding`), which Deno implements but does not promise.
 *
 * @module
 */
import { Socket } from "node:net";
import process from "node:process";
import { InternalError } from "../errors/mod.ts";
import type { Fd, Kernel } from "./kernel.ts";

interface StreamHandle {
  /** 0, or a negative errno. */
  open(fd: number): number;
}

interface AcceptedHandle {
  /** A descriptor, or a negative number. */
  fdForIpc(): number;
}

/**
 * Reads and writes a pipe, a unix socket (SEQPACKET keeps its packet boundaries: one `data` event or
 * write each), an inotify descriptor or an eventfd through the event loop. The socket owns the
 * descriptor from here on; `destroy()` closes it.
 */
export function adoptStream(fd: Fd): Socket {
  return adopt(fd, { writable: true });
}

/**
 * As {@link adoptStream}, for the reading end of a pipe. Deno's sockets end their writing side when the
 * reading side has ended, and one that is destroyed before that is done is never forgotten.
 */
export function adoptReader(fd: Fd): Socket {
  return adopt(fd, { writable: false });
}

function adopt(fd: Fd, sides: { readonly writable: boolean }): Socket {
  // deno-lint-ignore no-explicit-any -- an internal function without published types
  const { binding } = process as unknown as { binding: (name: string) => any };
  const handle: StreamHandle = new (binding.call(process, "pipe_wrap").Pipe)(0);
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

/**
 * Takes an accepted TCP socket off Node's event loop, before anything is read from it, with the options that
 * were set: it ends there and lives on as a descriptor. Undefined if it is closed already.
 */
export function takeDescriptor(socket: Socket, kernel: Kernel): Fd | undefined {
  const { _handle: handle } = socket as unknown as { _handle: AcceptedHandle | null };
  // A second descriptor of the same socket, for whoever asks.
  const number = handle?.fdForIpc() ?? -1;
  socket.destroy();
  if (number < 0) return undefined;
  kernel.setCloexec(number, true);
  return kernel.own(number);
}
