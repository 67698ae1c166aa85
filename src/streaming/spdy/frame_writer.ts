/** The sending side of a connection, shared by its streams. @module */
import type { ConnectionSink } from "../byte_connection.ts";

/** Sends frames whole and in the order in which they were given. */
export class FrameWriter {
  readonly #sink: ConnectionSink;
  readonly #onSent: () => void;
  readonly #onFailure: (error: Error) => void;
  #last: Promise<void> = Promise.resolve();
  #pendingAnswersBytes = 0;

  constructor(
    sink: ConnectionSink,
    on: { readonly sent: () => void; readonly failure: (error: Error) => void },
  ) {
    this.#sink = sink;
    this.#onSent = on.sent;
    this.#onFailure = on.failure;
  }

  /** Bytes given to {@link FrameWriter.answer} that the connection has not taken yet. */
  get pendingAnswersBytes(): number {
    return this.#pendingAnswersBytes;
  }

  /**
   * Resolves when the connection can take more.
   *
   * @throws {UnavailableError} the client is gone
   */
  send(...parts: readonly Uint8Array[]): Promise<void> {
    const sent = this.#last.then(() => this.#write(parts));
    this.#last = sent.then(this.#onSent, this.#onFailure);
    return sent;
  }

  async #write(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#sink.writeParts !== undefined) return await this.#sink.writeParts(parts);
    for (const part of parts) await this.#sink.write(part);
  }

  /** Sends what nobody waits for. */
  answer(frame: Uint8Array): void {
    this.#pendingAnswersBytes += frame.length;
    const taken = () => void (this.#pendingAnswersBytes -= frame.length);
    this.send(frame).then(taken, taken);
  }

  /** Resolves when everything that was given has been taken, or could not be. */
  flushed(): Promise<void> {
    return this.#last;
  }
}
