/** Exec and attach over SPDY/3.1. @module */
import type { ByteSink, ByteSource } from "../model/mod.ts";
import { DeadlineExceededError } from "../errors/mod.ts";
import { encodeStatus } from "./command_status.ts";
import { STREAM_CREATION_TIMEOUT_MS } from "./limits.ts";
import { type RemoteCommand, runRemoteCommand, type WantedStreams } from "./remote_command.ts";
import type { Session } from "./session.ts";
import type { SpdySession, SpdyStream } from "./spdy/mod.ts";
import { openSpdy } from "./spdy_upgrade.ts";
import { touchingSink, touchingSource } from "./touching.ts";

const PROTOCOLS = [
  "v4.channel.k8s.io",
  "v3.channel.k8s.io",
  "v2.channel.k8s.io",
  "channel.k8s.io",
] as const;
type Protocol = (typeof PROTOCOLS)[number];

const STREAM_TYPES = ["error", "stdin", "stdout", "stderr", "resize"] as const;
type StreamType = (typeof STREAM_TYPES)[number];
type OpenedStreams = ReadonlyMap<StreamType, SpdyStream>;

/** Serves to the end of the session. @throws {RefusedRequest} nothing was begun */
export async function serveRemoteCommandBySpdy(
  command: RemoteCommand,
  session: Session,
): Promise<void> {
  const { protocol, spdy } = await openSpdy(session, PROTOCOLS);
  await using _ = spdy;
  await runBySpdy(command, session, { protocol, spdy });
}

/** The session behind the switch of protocols. */
export async function runBySpdy(
  command: RemoteCommand,
  session: Omit<Session, "connection" | "head">,
  { protocol, spdy }: { readonly protocol: Protocol; readonly spdy: SpdySession },
): Promise<void> {
  const expected = expectedStreams(command.wanted, protocol);
  const streams = await openedStreams(spdy, expected, session);
  if (streams === undefined) return;
  const { onActivity } = session;
  const source = (type: StreamType): ByteSource | undefined => {
    const stream = expected.has(type) ? streams.get(type) : undefined;
    return stream && touchingSource(stream.source, onActivity);
  };
  const sink = (type: StreamType): ByteSink | undefined => {
    const stream = expected.has(type) ? streams.get(type) : undefined;
    return stream && touchingSink(stream.sink, onActivity);
  };
  await runRemoteCommand(command, {
    stdin: source("stdin"),
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    resize: source("resize"),
    signal: spdy.signal,
    writeStatus: async (status) => {
      const bytes = encodeStatus(status, protocol === "v4.channel.k8s.io");
      const error = streams.get("error");
      if (bytes !== undefined) await error?.sink.write(bytes);
      await error?.sink.end();
      // Clients read it to its end, to know that nobody takes their input any more.
      await streams.get("stdin")?.sink.end();
    },
  }, session);
}

/** The streams on which a client has something to say. */
function isInput(type: StreamType): boolean {
  return type === "stdin" || type === "resize";
}

function expectedStreams(wanted: WantedStreams, protocol: Protocol): ReadonlySet<StreamType> {
  const resizable = protocol === "v4.channel.k8s.io" || protocol === "v3.channel.k8s.io";
  const isExpected: Readonly<Record<StreamType, boolean>> = {
    error: true,
    stdin: wanted.stdin,
    stdout: wanted.stdout,
    stderr: wanted.stderr,
    resize: wanted.terminal && resizable,
  };
  return new Set(STREAM_TYPES.filter((type) => isExpected[type]));
}

/** Undefined if the client did not open all of them in time; it may open them in any order. */
async function openedStreams(
  spdy: SpdySession,
  expected: ReadonlySet<StreamType>,
  { cut, log }: Pick<Session, "cut" | "log">,
): Promise<OpenedStreams | undefined> {
  const opened = new Map<StreamType, SpdyStream>();
  const late = new DeadlineExceededError(
    `The client has not opened its streams within ${STREAM_CREATION_TIMEOUT_MS / 1000} s`,
  );
  const timer = setTimeout(() => void spdy.close(late), STREAM_CREATION_TIMEOUT_MS);
  const stop = () => void spdy.close(cut.reason);
  cut.addEventListener("abort", stop, { once: true });
  try {
    if (cut.aborted) return undefined;
    const all = Promise.withResolvers<void>();
    void (async () => {
      // Also after the last: what a client opens in vain must be refused to the end.
      for await (const stream of spdy.streams) {
        const type = STREAM_TYPES.find((known) => known === stream.headers.get("streamtype"));
        if (type === undefined || opened.has(type)) stream.reset();
        else {
          opened.set(type, stream);
          stream.accept();
          if (!isInput(type) || !expected.has(type)) stream.dropInput();
        }
        if ([...expected].every((each) => opened.has(each))) all.resolve();
      }
      all.resolve();
    })();
    await all.promise;
  } finally {
    clearTimeout(timer);
    cut.removeEventListener("abort", stop);
  }
  if ([...expected].every((type) => opened.has(type))) return opened;
  const missing = [...expected].filter((type) => !opened.has(type));
  log.info("A client opened a session without its streams", {
    missing: missing.join(","),
    reason: spdy.signal.reason,
  });
  return undefined;
}
