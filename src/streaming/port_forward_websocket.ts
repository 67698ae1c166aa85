/** Port-forward over WebSocket: by channels, or by SPDY in a tunnel. @module */
import { refused, switchingBytes } from "./http_head.ts";
import { forwardFailure, type PortForward } from "./port_forward.ts";
import { forwardBySpdy } from "./port_forward_spdy.ts";
import type { Session } from "./session.ts";
import { SpdySession } from "./spdy/mod.ts";
import { Channels } from "./websocket/channels.ts";
import { CloseCode } from "./websocket/frames.ts";
import { negotiateWebSocket } from "./websocket/handshake.ts";
import { Tunnel } from "./websocket/tunnel.ts";
import { WebSocket } from "./websocket/web_socket.ts";

const TUNNEL = "SPDY/3.1+portforward.k8s.io";
const PROTOCOLS = ["", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", TUNNEL] as const;

/** Serves to the end of the session. @throws {RefusedRequest} nothing was begun */
export async function servePortForwardByWebSocket(
  forward: PortForward,
  session: Session,
): Promise<void> {
  const { protocol, headers } = negotiateWebSocket(session.head, PROTOCOLS);
  if (protocol !== TUNNEL && forward.ports.length === 0) {
    throw refused(
      400,
      `The request for this URL named no port, which this protocol needs; use ${TUNNEL} or SPDY`,
    );
  }
  await session.connection.write(switchingBytes(headers));
  const webSocket = new WebSocket(session.connection);
  if (protocol === TUNNEL) {
    const tunnel = new Tunnel(webSocket);
    await forwardBySpdy(forward, session, new SpdySession(tunnel));
    await tunnel.closed;
  } else await forwardByChannels(forward, session, webSocket, protocol.includes("base64"));
}

/** Channels 2n carry the data of the n-th port, channels 2n + 1 what went wrong. */
async function forwardByChannels(
  { ports, sandbox }: PortForward,
  { service, cut, onActivity, log }: Session,
  webSocket: WebSocket,
  base64: boolean,
): Promise<void> {
  const channels = new Channels(webSocket, {
    inputs: ports.length,
    base64,
    closable: false,
    onActivity,
  });
  const signal = AbortSignal.any([webSocket.signal, cut]);
  const forwards = ports.map((port, index) => {
    const data = 2 * index;
    return {
      port,
      data,
      source: channels.input(data),
      // No message could say that the pod has ended its half: only the session's end does, and so a connection
      // is over with it. The client cannot end its half either.
      sink: { ...channels.output(data), end: () => Promise.resolve(channels.endInput(data)) },
      error: channels.output(data + 1),
    };
  });
  const running = channels.run();
  await Promise.all(forwards.map(async ({ port, data, source, sink, error }) => {
    try {
      // Which port a channel is for, little-endian, before anything else.
      await sink.write(Uint8Array.of(port & 0xff, port >> 8));
      await error.write(Uint8Array.of(port & 0xff, port >> 8));
      await service.portForward(sandbox, port, { source, sink }, signal)
        // Nobody reads any more what is sent for this port, and the others would wait behind it.
        .finally(() => channels.endInput(data));
    } catch (failure) {
      if (signal.aborted) return;
      log.info("A port could not be forwarded", { sandbox, port, error: failure });
      await error.write(forwardFailure(port, sandbox, failure)).catch(() => {});
    }
  }));
  await webSocket.close(cut.aborted ? CloseCode.goingAway : CloseCode.normal);
  await running;
}
