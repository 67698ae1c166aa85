/**
 * The switch from HTTP to SPDY/3.1, with the answers of Kubernetes' servers.
 *
 * @module
 */
import { hasWord, listHeader, refused, type RequestHead, switchingBytes } from "./http_head.ts";
import type { Session } from "./session.ts";
import { SpdySession } from "./spdy/mod.ts";

const VERSION_HEADER = "X-Stream-Protocol-Version";
const ACCEPTED_HEADER = "X-Accepted-Stream-Protocol-Versions";

/** Switches and opens the session. @throws {RefusedRequest} the request does not ask for SPDY */
export async function openSpdy<P extends string>(
  { connection, head }: Session,
  offered: readonly P[],
): Promise<{ readonly protocol: P; readonly spdy: SpdySession }> {
  const protocol = negotiateSpdy(head, offered);
  await connection.write(switchingBytes([
    ["Connection", "Upgrade"],
    ["Upgrade", "SPDY/3.1"],
    [VERSION_HEADER, protocol],
  ]));
  return { protocol, spdy: new SpdySession(connection) };
}

/**
 * The first of the client's protocols that is offered.
 *
 * @throws {RefusedRequest} 400 without the headers of the switch, 403 if no protocol fits
 */
export function negotiateSpdy<P extends string>(head: RequestHead, offered: readonly P[]): P {
  const asked = listHeader(head, VERSION_HEADER.toLowerCase());
  if (asked.length === 0) {
    throw refused(400, `unable to upgrade: the header ${VERSION_HEADER} names no protocol`);
  }
  const protocol = asked.find((name): name is P => (offered as readonly string[]).includes(name));
  if (protocol === undefined) {
    throw refused(
      403,
      `unable to upgrade: unable to negotiate protocol: the server accepts ${offered.join(", ")}`,
      offered.map((name) => [ACCEPTED_HEADER, name] as const),
    );
  }
  if (!hasWord(head, "connection", "upgrade") || !hasWord(head, "upgrade", "spdy/3.1")) {
    throw refused(
      400,
      "unable to upgrade: the headers Connection: Upgrade and Upgrade: SPDY/3.1 are missing",
    );
  }
  return protocol;
}
