/** What clients of a streaming server say to it, byte by byte. @module */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { ResourceExhaustedError } from "../errors/mod.ts";
import { CONTAINER, type TestService } from "./_test_service.ts";
import type { StreamingServer } from "./server.ts";

export const ALL = { stdin: true, stdout: true, stderr: true, terminal: false };

export function execUrl(
  server: StreamingServer,
  args: readonly string[],
  wanted: Partial<typeof ALL> = {},
): string {
  const all = { ...ALL, ...wanted };
  return server.exec({ container: CONTAINER, args, terminal: all.terminal }, all);
}

/** What the server says to these bytes until it ends the connection. */
export function talk(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let heard = "";
    const socket = connect(Number(port), hostname, () => socket.write(text, "latin1"));
    socket.on("data", (chunk) => heard += chunk.toString("latin1"));
    socket.on("end", () => socket.end());
    socket.on("error", reject);
    socket.on("close", () => resolve(heard));
  });
}

export function request(url: string, headers: readonly string[] = [], method = "GET"): string {
  const { pathname, host } = new URL(url);
  return [`${method} ${pathname} HTTP/1.1`, `Host: ${host}`, ...headers, "", ""].join("\r\n");
}

export const WS_HEADERS = [
  "Connection: keep-alive, Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/** As if the container's runtime cut off a client that has not taken this output. */
export function cutOff({ stdout }: Parameters<TestService["attach"]>[1]): Promise<never> {
  // More than the kernel keeps for both sides, and all of it before what is said of the end.
  const output = new Uint8Array(64 << 10);
  for (let count = 0; count < 512; count++) stdout?.write(output).catch(() => {});
  return Promise.reject(new ResourceExhaustedError("The client reads too slowly"));
}

/** A client that reads nothing behind the switch of protocols. */
export async function switched(url: string, headers: readonly string[]): Promise<Deno.TcpConn> {
  const { hostname, port } = new URL(url);
  const socket = await Deno.connect({ hostname, port: Number(port) });
  await socket.write(new TextEncoder().encode(request(url, headers)));
  const answer = new Uint8Array(12);
  await socket.read(answer);
  assert.equal(new TextDecoder().decode(answer), "HTTP/1.1 101");
  return socket;
}

/** The ports of the server's side of a connection. */
export function serverSide(
  { localAddr, remoteAddr }: Deno.TcpConn,
): { readonly from: number; readonly to: number } {
  return { from: remoteAddr.port, to: localAddr.port };
}

export const ATTACH_WANTED = { stdin: true, stdout: true, stderr: false, terminal: false };
export const ATTACH_HEADERS = {
  webSocket: [...WS_HEADERS, "Sec-WebSocket-Protocol: v5.channel.k8s.io"],
  spdy: [
    "Connection: Upgrade",
    "Upgrade: SPDY/3.1",
    "X-Stream-Protocol-Version: v4.channel.k8s.io",
  ],
};
