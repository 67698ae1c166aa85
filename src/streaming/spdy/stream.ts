/** One stream of a SPDY connection. @module */
import { FailedPreconditionError, UnavailableError } from "../../errors/mod.ts";
import type { ByteSink, ByteSource } from "../../model/mod.ts";
import type { Loans } from "../loans.ts";
import { Pieces } from "../pieces.ts";
import type { FrameWriter } from "./frame_writer.ts";
import { dataHeader, FLAG_FIN, ResetStatus, rstStreamFrame, synReplyFrame } from "./frames.ts";
import type { HeaderEncoder, SpdyHeaders } from "./header_block.ts";
import { DATA_FRAME_BYTES, STREAM_BUFFER_BYTES } from "./limits.ts";

/** A stream that the client has opened. */
export interface SpdyStream {
  readonly id: number;
  readonly headers: SpdyHeaders;
  /** What the client sends, to be read once. Throws {@link UnavailableError} if it resets the stream or is gone. */
  readonly source: ByteSource;
  /** What it gets; usable once the stream is accepted. */
  readonly sink: ByteSink;
  /** Aborted when it is reset by either side, or lost with its session; the source does not say so behind its end. */
  readonly lost: AbortSignal;
  /** What has come and was not read, with what stands around it. */
  readonly heldBytes: number;
  /** Tells the client that the stream is taken; before that it sends nothing. */
  accept(): void;
  /** Drops what the client sends, for nobody reads it: held, it would stop the whole session in time. */
  dropInput(): void;
  /** Ends both directions at once, or refuses a stream that is not accepted yet. May be repeated. */
  reset(): void;
}

/** What a stream needs of its session. */
export interface StreamOwner {
  readonly writer: FrameWriter;
  readonly encoder: HeaderEncoder;
  readonly loans: Loans;
  /** Bytes that the stream holds have changed by so many. */
  heldChanged(stream: SessionStream, by: number): void;
  /** Both directions have ended. */
  finished(stream: SessionStream): void;
}

type Sending =
  | { readonly state: "unanswered" }
  | { readonly state: "open" }
  | { readonly state: "ended" }
  | { readonly state: "failed"; readonly error: Error };

export class SessionStream implements SpdyStream, ByteSink {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #owner: StreamOwner;
  readonly #received: Pieces;
  readonly #lost = new AbortController();
  #sending: Sending = { state: "unanswered" };

  constructor(id: number, headers: SpdyHeaders, owner: StreamOwner) {
    this.id = id;
    this.headers = headers;
    this.#owner = owner;
    this.#received = new Pieces(owner.loans, (by) => owner.heldChanged(this, by));
  }

  get source(): ByteSource {
    return this.#received.source;
  }

  get sink(): ByteSink {
    return this;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get heldBytes(): number {
    return this.#received.heldBytes;
  }

  /** More is held than a stream may; its connection is not to be read on. */
  get full(): boolean {
    return this.heldBytes > STREAM_BUFFER_BYTES;
  }

  /** See {@link Pieces.worthWaiting}. */
  get worthWaiting(): boolean {
    return this.#received.worthWaiting;
  }

  accept(): void {
    if (this.#sending.state !== "unanswered") return;
    this.#sending = { state: "open" };
    this.#owner.writer.answer(synReplyFrame(this.id, this.#owner.encoder.encode(new Map())));
  }

  dropInput(): void {
    void this.source[Symbol.asyncIterator]().return?.();
  }

  reset(): void {
    if (this.#over) return;
    const refused = this.#sending.state === "unanswered";
    this.#owner.writer.answer(
      rstStreamFrame(this.id, refused ? ResetStatus.refusedStream : ResetStatus.cancel),
    );
    this.fail(new UnavailableError(`Stream ${this.id} was reset`));
  }

  write(bytes: Uint8Array): Promise<void> {
    if (bytes.length > DATA_FRAME_BYTES) return this.#writeFrames(bytes);
    return bytes.length === 0 ? Promise.resolve() : this.#writeFrame(bytes);
  }

  async #writeFrames(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += DATA_FRAME_BYTES) {
      await this.#writeFrame(bytes.subarray(at, at + DATA_FRAME_BYTES));
    }
  }

  #writeFrame(bytes: Uint8Array): Promise<void> {
    const sending = this.#sending;
    switch (sending.state) {
      case "open":
        return this.#owner.writer.send(dataHeader(this.id, bytes.length, 0), bytes);
      case "failed":
        return Promise.reject(sending.error);
      case "unanswered":
      case "ended":
        return Promise.reject(
          new FailedPreconditionError(
            `Cannot write to stream ${this.id}: it is ${
              sending.state === "ended" ? "ended" : "not accepted yet"
            }`,
          ),
        );
    }
  }

  async end(): Promise<void> {
    this.accept();
    if (this.#sending.state !== "open") return;
    this.#sending = { state: "ended" };
    const sent = this.#owner.writer.send(dataHeader(this.id, 0, FLAG_FIN));
    this.#finish();
    // A client that is gone needs no telling.
    await sent.catch(() => {});
  }

  /**
   * The client has sent data.
   *
   * @returns false if it had ended its side before
   */
  receive(bytes: Uint8Array, fin: boolean): boolean {
    if (this.#received.ended) return false;
    this.#received.receive(bytes);
    if (fin) {
      this.#received.end();
      this.#finish();
    }
    return true;
  }

  /** Ends both directions without a word to the client. */
  fail(error: Error): void {
    this.#received.fail(error);
    if (this.#sending.state !== "ended") this.#sending = { state: "failed", error };
    this.#owner.finished(this);
    this.#lost.abort(error);
  }

  get #over(): boolean {
    const { state } = this.#sending;
    return state === "failed" || (state === "ended" && this.#received.ended);
  }

  #finish(): void {
    if (this.#over) this.#owner.finished(this);
  }
}
