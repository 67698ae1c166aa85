/** Port-forward over SPDY/3.1: a pair of streams for each connection. @module */
import { errorMessage } from "../errors/mod.ts";
import { FORWARDED_CONNECTIONS_LIMIT, STREAM_CREATION_TIMEOUT_MS } from "./limits.ts";
import { forwardFailure, type PortForward } from "./port_forward.ts";
import type { Session } from "./session.ts";
import type { SpdySession, SpdyStream } from "./spdy/mod.ts";
import { openSpdy } from "./spdy_upgrade.ts";
import { touchingSink, touchingSource } from "./touching.ts";

/** Serves to the end of the session. @throws {RefusedRequest} nothing was begun */
export async function servePortForwardBySpdy(
  forward: PortForward,
  session: Session,
): Promise<void> {
  const { spdy } = await openSpdy(session, ["portforward.k8s.io"]);
  await forwardBySpdy(forward, session, spdy);
}

/** One half of a connection, waiting for the other. */
interface Half {
  readonly stream: SpdyStream;
  readonly timer: ReturnType<typeof setTimeout>;
}

type StreamKind = "data" | "error";

interface StreamPurpose {
  readonly kind: StreamKind;
  readonly port: number;
  readonly requestId: string;
}

/** Forwards until the client ends the session or the session is cut. Takes over `spdy`. */
export async function forwardBySpdy(
  forward: PortForward,
  session: Omit<Session, "connection" | "head">,
  spdy: SpdySession,
): Promise<void> {
  const { cut } = session;
  const stop = () => void spdy.close(cut.reason);
  cut.addEventListener("abort", stop, { once: true });
  if (cut.aborted) stop();
  const halves = new Map<string, Half & StreamPurpose>();
  const connections = new Set<Promise<void>>();
  // Bytes for a connection that there may never be must not hold up the others.
  const refuseEager = () => {
    for (const [requestId, { stream, timer }] of halves) {
      if (stream.heldBytes === 0) continue;
      clearTimeout(timer);
      halves.delete(requestId);
      stream.reset();
    }
  };
  spdy.onFull = refuseEager;
  try {
    for await (const stream of spdy.streams) {
      const purpose = purposeOf(stream);
      if (purpose === undefined) {
        stream.reset();
        continue;
      }
      stream.accept();
      // A client has nothing to say there.
      if (purpose.kind === "error") stream.dropInput();
      const first = halves.get(purpose.requestId);
      if (first === undefined && halves.size + connections.size >= FORWARDED_CONNECTIONS_LIMIT) {
        const text = `There are ${FORWARDED_CONNECTIONS_LIMIT} connections forwarded by this ` +
          "session already, which is the limit; end some of them";
        await tellAndReset(stream, purpose.kind, text);
      } else if (first?.kind === purpose.kind) {
        const text = `error processing stream for request ${purpose.requestId}: ${purpose.kind} ` +
          "stream already assigned";
        await tellAndReset(stream, purpose.kind, text);
      } else if (first === undefined) {
        const timer = setTimeout(() => {
          halves.delete(purpose.requestId);
          void tellAndReset(stream, purpose.kind, "timed out waiting for streams");
        }, STREAM_CREATION_TIMEOUT_MS);
        halves.set(purpose.requestId, { ...purpose, stream, timer });
        if (spdy.full) refuseEager();
      } else {
        clearTimeout(first.timer);
        halves.delete(purpose.requestId);
        const [data, error] = purpose.kind === "data"
          ? [{ stream, port: purpose.port }, first.stream]
          : [first, stream];
        const connection = forwardPair(forward, session, { data, error, signal: spdy.signal });
        connections.add(connection);
        void connection.then(() => connections.delete(connection));
      }
    }
  } finally {
    cut.removeEventListener("abort", stop);
    for (const { timer } of halves.values()) clearTimeout(timer);
    await spdy.close();
    await Promise.all(connections);
  }
}

/** Never fails: what goes wrong is told in the error stream. */
async function forwardPair(
  { sandbox }: PortForward,
  { service, onActivity, log }: Omit<Session, "connection" | "head">,
  { data: { stream: data, port }, error, signal }: {
    readonly data: { readonly stream: SpdyStream; readonly port: number };
    readonly error: SpdyStream;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const connection = {
    source: touchingSource(data.source, onActivity),
    sink: touchingSink(data.sink, onActivity),
    lost: data.lost,
  };
  // Only the session's end stops the other connections; a reset of the stream ends this one alone.
  try {
    await service.portForward(sandbox, port, connection, signal);
    await data.sink.end();
    await error.sink.end();
  } catch (failure) {
    if (signal.aborted) return;
    log.info("A port could not be forwarded", { sandbox, port, error: failure });
    try {
      await error.sink.write(forwardFailure(port, sandbox, failure));
      await error.sink.end();
    } catch (gone) {
      log.debug("The client of a forwarded port is gone", { error: errorMessage(gone) });
    }
    data.reset();
  }
}

async function tellAndReset(stream: SpdyStream, kind: StreamKind, text: string): Promise<void> {
  if (kind === "error") {
    await stream.sink.write(new TextEncoder().encode(text)).catch(() => {});
    await stream.sink.end();
  }
  stream.reset();
}

/** Undefined if its headers do not say what it is for. */
function purposeOf({ id, headers }: SpdyStream): StreamPurpose | undefined {
  const kind = headers.get("streamtype");
  const port = Number(/^\d{1,5}$/.exec(headers.get("port") ?? "")?.[0] ?? 0);
  if ((kind !== "data" && kind !== "error") || port < 1 || port > 65_535) return undefined;
  // Clients of before 2016 number nothing; they open the error stream, then at once the data stream.
  const requestId = headers.get("requestid") || `of stream ${kind === "error" ? id : id - 2}`;
  return { kind, port, requestId };
}
