/**
 * A server's side of a SPDY/3.1 connection as Kubernetes uses it: the client opens the streams, and
 * neither side has flow control windows (docs/decisions).
 *
 * @module
 */
import { errorMessage, SauropodError, UnavailableError } from "../../errors/mod.ts";
import type { ByteConnection } from "../byte_connection.ts";
import { Arrivals } from "../arrivals.ts";
import { Loans } from "../loans.ts";
import { BLOCK_FRAMES, FrameTurns } from "../turns.ts";
import { type Frame, FrameReader } from "./frame_reader.ts";
import { FrameWriter } from "./frame_writer.ts";
import { goAwayFrame, GoAwayStatus, pingFrame, ResetStatus, rstStreamFrame } from "./frames.ts";
import { HeaderEncoder } from "./header_block.ts";
import {
  LINGER_MS,
  PENDING_ANSWERS_BYTES,
  PROBE_INTERVAL_MS,
  SESSION_BUFFER_BYTES,
  STREAMS_LIMIT,
} from "./limits.ts";
import { SpdyProtocolError, SpdyStreamError } from "./protocol_error.ts";
import { SessionStream, type SpdyStream, type StreamOwner } from "./stream.ts";

export interface SpdySessionOptions {
  /** Something came or went, be it only a PING: clients send those to keep a quiet session. */
  readonly onActivity?: () => void;
  /** Default {@link LINGER_MS}. */
  readonly lingerMs?: number;
  /** Default {@link PROBE_INTERVAL_MS}. */
  readonly probeIntervalMs?: number;
}

/**
 * Reads the connection from its making on. A client that breaks the protocol gets GOAWAY and loses the
 * connection; the session itself throws nothing.
 */
export class SpdySession implements AsyncDisposable {
  /** Called each time that the session has become {@link full}; whoever opened it may reset streams then. */
  onFull: () => void = () => {};
  readonly #connection: ByteConnection;
  readonly #reader = new FrameReader();
  readonly #turns = new FrameTurns();
  readonly #writer: FrameWriter;
  readonly #loans: Loans;
  readonly #owner: StreamOwner;
  readonly #onActivity: () => void;
  readonly #lingerMs: number;
  readonly #probeIntervalMs: number;

  readonly #streams = new Map<number, SessionStream>();
  readonly #fullStreams = new Set<SessionStream>();
  readonly #incoming = new Arrivals<SpdyStream>(() => void this.#unseen--);
  /** Streams that the reader of {@link streams} has not taken yet, those that are over included. */
  #unseen = 0;
  readonly #over = new AbortController();
  readonly #reading: Promise<void>;
  #heldBytes = 0;
  #lastStreamId = 0;
  #goneAway = false;
  #room: PromiseWithResolvers<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(connection: ByteConnection, options: SpdySessionOptions = {}) {
    this.#connection = connection;
    this.#onActivity = options.onActivity ?? (() => {});
    this.#lingerMs = options.lingerMs ?? LINGER_MS;
    this.#probeIntervalMs = options.probeIntervalMs ?? PROBE_INTERVAL_MS;
    this.#writer = new FrameWriter(connection.sink, {
      sent: this.#onActivity,
      failure: (error) => void this.#shut(gone(error), GoAwayStatus.ok),
    });
    this.#loans = new Loans(() => connection.keep());
    this.#owner = {
      writer: this.#writer,
      loans: this.#loans,
      encoder: new HeaderEncoder(),
      heldChanged: (stream, by) => this.#heldChanged(stream, by),
      finished: (stream) => this.#finished(stream),
    };
    this.#reading = this.#read();
  }

  /** Aborted when the session is over, for whatever reason: an Error that says it. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** The streams hold all that they may, and the client is not read until some of it is. */
  get full(): boolean {
    return this.#fullStreams.size > 0 || this.#heldBytes > SESSION_BUFFER_BYTES;
  }

  /** Streams as the client opens them, for one reader; each is to be accepted or reset. Ends with the session. */
  get streams(): AsyncIterable<SpdyStream> {
    return this.#incoming;
  }

  /**
   * Sends what was written and GOAWAY, lets the client end its side for a moment, so that nothing that it
   * has not read yet is lost, and ends the connection. Streams that are open fail with `reason`.
   */
  close(reason: Error = new UnavailableError("The session is closed")): Promise<void> {
    return this.#shut(reason, GoAwayStatus.ok);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #read(): Promise<void> {
    try {
      for await (const chunk of this.#connection.source) {
        // A session that is over only waits for the client's end.
        if (this.#closing !== undefined) continue;
        this.#onActivity();
        await this.#handleChunk(chunk);
        await this.#loans.settled();
      }
      void this.#shut(
        new UnavailableError("The client has closed the connection"),
        GoAwayStatus.ok,
      );
    } catch (error) {
      void this.#shut(gone(error), GoAwayStatus.ok);
    }
  }

  async #handleChunk(chunk: Uint8Array): Promise<void> {
    try {
      for (const frame of this.#reader.frames(chunk)) {
        if (frame.kind === "data" && this.#streams.get(frame.streamId)?.worthWaiting) {
          await this.#loans.waited();
        }
        this.#handle(frame);
        const hasBlock = frame.kind === "syn-stream" || frame.kind === "headers";
        const turn = this.#turns.next(hasBlock ? BLOCK_FRAMES : 1);
        if (turn !== undefined) await turn;
        if (this.#closing !== undefined) return;
      }
    } catch (error) {
      const known = error instanceof SpdyProtocolError;
      const status = known ? GoAwayStatus.protocolError : GoAwayStatus.internalError;
      void this.#shut(known ? error : gone(error), status);
      return;
    }
    if (this.#writer.pendingAnswersBytes > PENDING_ANSWERS_BYTES) await this.#writer.flushed();
    if (this.full && this.#closing === undefined) await this.#roomAgain();
  }

  #handle(frame: Frame): void {
    switch (frame.kind) {
      case "syn-stream":
        return this.#open(frame);
      case "data": {
        const stream = this.#known(frame.streamId);
        if (stream !== undefined) this.#receive(stream, frame.bytes, frame.fin);
        return;
      }
      case "headers": {
        const stream = this.#known(frame.streamId);
        if (stream === undefined) return;
        if (frame.headers instanceof SpdyStreamError) {
          return this.#break(stream, frame.headers, ResetStatus.protocolError);
        }
        return this.#receive(stream, NOTHING, frame.fin);
      }
      case "rst-stream":
        this.#known(frame.streamId)?.fail(
          new UnavailableError(`The client has reset the stream (status ${frame.status})`),
        );
        return;
      case "ping":
        // Even ones are the client's answers to ours.
        if (frame.id % 2 === 1) this.#writer.answer(pingFrame(frame.id));
        return;
      case "go-away":
        this.#goneAway = true;
        this.#endIfIdle();
        return;
      case "ignored":
        return;
      default:
        return frame satisfies never;
    }
  }

  #open(frame: Frame & { readonly kind: "syn-stream" }): void {
    const { streamId, headers } = frame;
    if (streamId % 2 === 0 || streamId <= this.#lastStreamId) {
      throw new SpdyProtocolError(
        `The client opens stream ${streamId} after ${this.#lastStreamId}; its numbers are odd and increase`,
      );
    }
    if (this.#goneAway) return;
    this.#lastStreamId = streamId;
    if (headers instanceof SpdyStreamError) {
      return this.#writer.answer(rstStreamFrame(streamId, ResetStatus.protocolError));
    }
    // A client that opens and resets has none that is open.
    const many = this.#streams.size >= STREAMS_LIMIT || this.#unseen >= STREAMS_LIMIT;
    if (frame.unidirectional || many) {
      return this.#writer.answer(rstStreamFrame(streamId, ResetStatus.refusedStream));
    }
    const stream = new SessionStream(streamId, headers, this.#owner);
    this.#streams.set(streamId, stream);
    if (frame.fin) stream.receive(NOTHING, true);
    this.#unseen++;
    this.#incoming.push(stream);
  }

  /**
   * The open stream with that number, undefined if it is closed: what comes for it was under way then.
   *
   * @throws {SpdyProtocolError} there never was one
   */
  #known(streamId: number): SessionStream | undefined {
    if (streamId % 2 === 0 || (streamId > this.#lastStreamId && !this.#goneAway)) {
      throw new SpdyProtocolError(`A frame for stream ${streamId}, which was never opened`);
    }
    return this.#streams.get(streamId);
  }

  #receive(stream: SessionStream, bytes: Uint8Array, fin: boolean): void {
    if (!stream.receive(bytes, fin)) {
      const error = new SpdyStreamError(`The client sends after the end of stream ${stream.id}`);
      this.#break(stream, error, ResetStatus.streamAlreadyClosed);
    }
  }

  #break(stream: SessionStream, error: Error, status: ResetStatus): void {
    this.#writer.answer(rstStreamFrame(stream.id, status));
    stream.fail(gone(error));
  }

  #finished(stream: SessionStream): void {
    this.#streams.delete(stream.id);
    this.#endIfIdle();
  }

  /** A client that has said farewell waits for its streams, and so do we. */
  #endIfIdle(): void {
    if (this.#goneAway && this.#streams.size === 0) {
      void this.#shut(new UnavailableError("The client has said GOAWAY"), GoAwayStatus.ok);
    }
  }

  #heldChanged(stream: SessionStream, by: number): void {
    this.#heldBytes += by;
    if (stream.full) this.#fullStreams.add(stream);
    // Not before: a reader that finds something held each time would get a copy of all that comes.
    else if (stream.heldBytes === 0) this.#fullStreams.delete(stream);
    if (!this.full) this.#room?.resolve();
  }

  /**
   * Resolves when the connection is to be read on. An end of the client cannot be seen meanwhile, as it
   * stands behind what is not read; but asking for a sign of life fails once the client is gone.
   */
  async #roomAgain(): Promise<void> {
    this.#room = Promise.withResolvers();
    this.onFull();
    const probes = setInterval(() => {
      if (this.#writer.pendingAnswersBytes === 0) this.#writer.answer(pingFrame(PROBE_ID));
    }, this.#probeIntervalMs);
    try {
      await this.#room.promise;
    } finally {
      clearInterval(probes);
      this.#room = undefined;
    }
  }

  #shut(reason: Error, status: GoAwayStatus): Promise<void> {
    // Set before anything that it calls can come here again.
    this.#closing ??= Promise.resolve().then(() => this.#farewell(status));
    if (!this.#over.signal.aborted) {
      this.#over.abort(reason);
      this.#incoming.end();
      for (const stream of [...this.#streams.values()]) stream.fail(gone(reason));
      this.#room?.resolve();
    }
    return this.#closing;
  }

  async #farewell(status: GoAwayStatus): Promise<void> {
    this.#writer.answer(goAwayFrame(this.#lastStreamId, status));
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#lingerMs);
    const orderly = async () => {
      await this.#writer.flushed();
      await this.#connection.sink.end();
      await this.#reading;
    };
    try {
      // Closing at once would reset a connection with unread bytes, and the client would lose the last ones.
      await Promise.race([orderly(), late]);
    } catch {
      // The client is gone, which is what this was to come to.
    } finally {
      clearTimeout(timer);
      this.#connection.destroy();
    }
  }
}

const NOTHING = new Uint8Array(0);
/** Our numbers are even; one will do, as no answer is waited for. */
const PROBE_ID = 2;

function gone(error: unknown): Error {
  return error instanceof SauropodError && error.kind === "unavailable"
    ? error
    : new UnavailableError(`The client is gone: ${errorMessage(error)}`, { cause: error });
}
