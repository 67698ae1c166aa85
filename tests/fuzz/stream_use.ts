/**
 * Uses of a URL that Exec, Attach or PortForward gave: as a client would, or with changed bytes in the
 * request, in the frames and where they are cut.
 *
 * @module
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { joined, synStream } from "../../src/streaming/spdy/_test_client.ts";
import { dataHeader, FLAG_FIN } from "../../src/streaming/spdy/frames.ts";
import { HeaderEncoder } from "../../src/streaming/spdy/header_block.ts";
import { message } from "../support/stream_client.ts";
import { mutateBytes, mutateText, type Random } from "./mutation.ts";

export type StreamMethod = "exec" | "attach" | "portForward";

/** A port of the pod that answers with what it is sent. */
export const ECHO_PORT = 80;
/** What a session of {@link useUrl} may take; an attached client never ends by itself. */
const PATIENCE_MS = 1_500;

/**
 * Uses a URL once and goes away. An answer that must not be fails.
 *
 * @returns status of the answer; `none` where the connection ended without one
 */
export async function useUrl(url: string, method: StreamMethod, random: Random): Promise<string> {
  const { request, frames } = random.below(2) === 0
    ? byWebSocket(url, method, random)
    : bySpdy(url, method, random);
  const head = random.below(4) === 0
    ? Uint8Array.from(mutateText(request, random), (char) => char.charCodeAt(0) & 0xff)
    : new TextEncoder().encode(request);
  const body = random.below(2) === 0 ? frames : mutateBytes(frames, random);
  const heard = await exchange(url, joined(head, body), random);
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(heard)?.[1] ?? "none";
  assert.ok(heard === "" || (status !== "none" && status !== "500"), heard.slice(0, 200));
  return status;
}

interface Use {
  /** The head of the request. */
  readonly request: string;
  /** What a client sends behind it. */
  readonly frames: Uint8Array;
}

function byWebSocket(url: string, method: StreamMethod, random: Random): Use {
  const tunnel = method === "portForward" && random.below(3) === 0;
  const protocol = tunnel
    ? "SPDY/3.1+portforward.k8s.io"
    : random.pick(["v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"]);
  const frames = tunnel
    ? [frame(0x2, forwardFrames()), frame(0x8, Uint8Array.of(0x03, 0xe8))]
    : protocol.includes("base64")
    ? [frame(0x1, new TextEncoder().encode(`0${btoa("exit\n")}`)), frame(0x9)]
    : [
      frame(0x2, message(4, '{"Width":80,"Height":24}')),
      frame(0x9, new TextEncoder().encode("ping")),
      frame(0x2, message(0, "exit\n")),
      ...(protocol.startsWith("v5") ? [frame(0x2, Uint8Array.of(255, 0))] : []),
    ];
  return {
    request: requestOf(url, "GET", [
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      `Sec-WebSocket-Protocol: ${protocol}`,
    ]),
    frames: joined(...frames),
  };
}

function bySpdy(url: string, method: StreamMethod, random: Random): Use {
  const protocol = method === "portForward"
    ? "portforward.k8s.io"
    : random.pick(["v4.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"]);
  return {
    request: requestOf(url, "POST", [
      "Connection: Upgrade",
      "Upgrade: SPDY/3.1",
      `X-Stream-Protocol-Version: ${protocol}`,
    ]),
    frames: method === "portForward" ? forwardFrames() : commandFrames(),
  };
}

function requestOf(url: string, method: string, headers: readonly string[]): string {
  const { pathname, host } = new URL(url);
  return [`${method} ${pathname} HTTP/1.1`, `Host: ${host}`, ...headers, "", ""].join("\r\n");
}

/** Of a client, masked with zeros. */
function frame(opcode: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const head = [0x80 | opcode];
  if (payload.length < 126) head.push(0x80 | payload.length);
  else head.push(0x80 | 126, payload.length >> 8, payload.length & 0xff);
  return joined(Uint8Array.from([...head, 0, 0, 0, 0]), payload);
}

function commandFrames(): Uint8Array {
  const encoder = new HeaderEncoder();
  const open = (id: number, streamtype: string) =>
    synStream(id, encoder.encode(new Map([["streamtype", streamtype]])));
  return joined(
    open(1, "error"),
    open(3, "stdin"),
    open(5, "stdout"),
    open(7, "stderr"),
    open(9, "resize"),
    data(9, '{"Width":80,"Height":24}'),
    data(3, "exit\n", FLAG_FIN),
  );
}

/** One connection that is answered, and one to where nobody listens. */
function forwardFrames(): Uint8Array {
  const encoder = new HeaderEncoder();
  const open = (id: number, streamtype: string, port: number, requestid: string) =>
    synStream(
      id,
      encoder.encode(new Map(Object.entries({ streamtype, port: String(port), requestid }))),
    );
  return joined(
    open(1, "error", ECHO_PORT, "0"),
    open(3, "data", ECHO_PORT, "0"),
    data(3, "hello", FLAG_FIN),
    open(5, "error", ECHO_PORT + 1, "1"),
    open(7, "data", ECHO_PORT + 1, "1"),
  );
}

function data(streamId: number, text: string, flags = 0): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return joined(dataHeader(streamId, bytes.length, flags), bytes);
}

/** Sends in pieces and hears the beginning of the answer; then goes, in order or not. */
function exchange(url: string, bytes: Uint8Array, random: Random): Promise<string> {
  const { hostname, port } = new URL(url);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = random.below(3) === 0 ? 1 + random.below(64) : bytes.length;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  const abrupt = random.below(4) === 0;
  return new Promise((resolve) => {
    let heard = "";
    const socket = connect(Number(port), hostname, () => {
      for (const piece of pieces) socket.write(piece);
      if (abrupt) socket.destroySoon();
    });
    const patience = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on("data", (chunk) => {
      if (heard.length < 65_536) heard += chunk.toString("latin1");
    });
    // The server may end the connection while this still sends.
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(patience);
      resolve(heard);
    });
  });
}
