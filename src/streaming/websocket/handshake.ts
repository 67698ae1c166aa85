/**
 * The opening handshake of RFC 6455 with the answers of Kubernetes' servers.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { hasWord, listHeader, refused, type RequestHead } from "../http_head.ts";

/** True if the request asks to speak WebSocket. */
export function asksForWebSocket(head: RequestHead): boolean {
  return hasWord(head, "upgrade", "websocket") && hasWord(head, "connection", "upgrade");
}

/**
 * Checks the handshake and takes the first of the client's sub-protocols that is offered. The empty
 * name stands for a client that names none.
 *
 * @throws {RefusedRequest} it is no valid handshake, or no sub-protocol fits
 */
export function negotiateWebSocket<P extends string>(
  head: RequestHead,
  offered: readonly P[],
): { readonly protocol: P; readonly headers: readonly (readonly [string, string])[] } {
  if (head.method !== "GET") {
    throw refused(405, "A WebSocket is opened by GET", [["Allow", "GET"]]);
  }
  if (head.headers.get("sec-websocket-version")?.join() !== "13") {
    throw refused(400, "Only version 13 of WebSocket is spoken here", [[
      "Sec-WebSocket-Version",
      "13",
    ]]);
  }
  const [key = "", ...more] = head.headers.get("sec-websocket-key") ?? [];
  if (more.length > 0 || !/^[A-Za-z0-9+/]{22}==$/.test(key)) {
    throw refused(400, "Sec-WebSocket-Key is not 16 bytes in base64");
  }
  const asked = listHeader(head, "sec-websocket-protocol");
  const protocol = (asked.length === 0 ? [""] : asked).find((name): name is P =>
    (offered as readonly string[]).includes(name)
  );
  if (protocol === undefined) {
    throw refused(
      403,
      `None of the sub-protocols is served here; use one of ${
        offered.filter((name) => name !== "").join(", ")
      }`,
    );
  }
  return {
    protocol,
    headers: [
      ["Upgrade", "websocket"],
      ["Connection", "Upgrade"],
      ["Sec-WebSocket-Accept", acceptance(key)],
      ...(protocol === "" ? [] : [["Sec-WebSocket-Protocol", protocol] as const]),
    ],
  };
}

/** Section 1.3. */
export function acceptance(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
