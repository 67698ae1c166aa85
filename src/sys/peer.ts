/**
 * Who is at the other end of a unix socket.
 *
 * @module
 */
import type { Socket } from "node:net";
import { UnavailableError } from "../errors/mod.ts";
import { descriptorOf } from "./adopted.ts";
import type { Kernel, PeerCredentials } from "./kernel.ts";

/**
 * Pid, uid and gid of the peer at the time it connected.
 *
 * @throws {UnavailableError} the connection is already closed, or is no unix socket
 */
export function peerOf(kernel: Kernel, socket: Socket): PeerCredentials {
  const fd = descriptorOf(socket);
  if (fd === undefined) {
    throw new UnavailableError("The peer of the connection is not known: it is closed");
  }
  return kernel.peerCredentials(fd);
}
