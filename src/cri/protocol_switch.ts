/**
 * Tells gRPC from HTTP/1.1 by the first bytes of a connection, so that one socket serves both.
 *
 * @module
 */
import type { Socket } from "node:net";
import { Buffer } from "node:buffer";

export interface ProtocolTargets {
  grpc(socket: Socket): void;
  http(socket: Socket): void;
}

/** HTTP/2 begins with the preface `PRI * HTTP/2.0` (RFC 9113, section 3.4); no method is called PRI. */
const PREFACE = "PRI";
/** Both kinds of client speak first, and at once. */
const FIRST_BYTES_TIMEOUT_MS = 10_000;

/** Hands the connection to one of the targets as soon as three bytes are there. */
export function switchProtocol(socket: Socket, targets: ProtocolTargets): void {
  let first = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), FIRST_BYTES_TIMEOUT_MS);
  const onData = (bytes: Buffer) => {
    first = Buffer.concat([first, bytes]);
    if (first.length < PREFACE.length) return;
    clearTimeout(timer);
    socket.off("data", onData);
    socket.pause();
    socket.unshift(first);
    const isHttp2 = first.toString("latin1", 0, PREFACE.length) === PREFACE;
    if (isHttp2) targets.grpc(socket);
    else targets.http(socket);
    // A parser that was handed a paused socket would wait for ever.
    socket.resume();
  };
  socket.once("close", () => clearTimeout(timer));
  // A client that goes away is no event of ours; without a listener it would end the process.
  socket.on("error", () => socket.destroy());
  socket.on("data", onData);
}
