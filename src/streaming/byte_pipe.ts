/**
 * Bytes from one writer to one reader, with a bound on what the reader has not taken yet.
 *
 * @module
 */
import type { ByteSink, ByteSource } from "../model/mod.ts";
import { Arrivals } from "./arrivals.ts";
import { costOf, heldPiece } from "./held_piece.ts";

/** A pipe in memory. What is written after the reader has left is dropped. */
export class BytePipe implements ByteSink {
  readonly #limitBytes: number;
  readonly #pieces = new Arrivals<Uint8Array>((piece) => this.#release(costOf(piece)));
  #heldBytes = 0;
  #wakeWriter: (() => void) | undefined;

  /** @param limitBytes a write waits while so much or more is held, see {@link costOf} */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** To be read once. */
  get source(): ByteSource {
    return this.#pieces;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.offer(bytes) ?? Promise.resolve();
  }

  /** As {@link write}, but says by undefined that there is nothing to wait for. Does not fail. */
  offer(bytes: Uint8Array): Promise<void> | undefined {
    const pieces = this.#pieces;
    if (pieces.ended || pieces.unwanted || bytes.length === 0) return undefined;
    const piece = pieces.awaited ? bytes : heldPiece(bytes);
    this.#heldBytes += costOf(piece);
    pieces.push(piece);
    if (this.#heldBytes < this.#limitBytes) return undefined;
    return new Promise<void>((resolve) => this.#wakeWriter = resolve);
  }

  end(): Promise<void> {
    this.#pieces.end();
    this.#wakeWriter?.();
    return Promise.resolve();
  }

  /** The sender is lost: what is unread is dropped and the reader gets the error. */
  fail(error: Error): void {
    this.#pieces.fail(error);
    this.#wakeWriter?.();
  }

  #release(bytes: number): void {
    this.#heldBytes -= bytes;
    if (this.#heldBytes < this.#limitBytes) this.#wakeWriter?.();
  }
}
