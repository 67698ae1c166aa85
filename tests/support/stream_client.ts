/** A client of the streaming server over WebSocket. @module */
import { Buffer } from "node:buffer";

export interface Ended {
  readonly channels: ReadonlyMap<number, string>;
  readonly code: number;
  readonly protocol: string;
}

/**
 * Opens a WebSocket, sends the messages once the first has come, and hears it to its end.
 *
 * @param client for servers of TLS, whose authority it knows
 */
export function converse(
  url: string,
  protocol: string,
  send: (socket: WebSocket) => void = () => {},
  client?: Deno.HttpClient,
): Promise<Ended> {
  const protocols = [protocol];
  const socket = new WebSocket(
    url.replace("http", "ws"),
    client === undefined ? { protocols } : { protocols, client },
  );
  socket.binaryType = "arraybuffer";
  const channels = new Map<number, string>();
  return new Promise((resolve, reject) => {
    let first = true;
    socket.onmessage = ({ data }) => {
      let channel: number;
      let text: string;
      if (typeof data === "string") {
        channel = Number(data[0]);
        text = Buffer.from(data.slice(1), "base64").toString("latin1");
      } else {
        const bytes = new Uint8Array(data as ArrayBuffer);
        channel = bytes[0]!;
        text = Buffer.from(bytes.subarray(1)).toString("latin1");
      }
      channels.set(channel, (channels.get(channel) ?? "") + text);
      if (first) send(socket);
      first = false;
    };
    socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
    socket.onclose = ({ code }) => resolve({ channels, code, protocol: socket.protocol });
  });
}

/** Text for a channel. */
export const message = (channel: number, text: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array([channel, ...new TextEncoder().encode(text)]);
