/**
 * Bytes from one writer to one reader, with a bound on what the reader has not taken yet.
 *
 * @module
 */
import type { ByteSource } from "../model/mod.ts";
import type { Loans } from "./loans.ts";
import { Pieces } from "./pieces.ts";

/** A pipe in memory. What is offered after the reader has left is dropped. */
export class BytePipe {
  readonly #limitBytes: number;
  readonly #loans: Loans;
  readonly #pieces: Pieces;
  #wakeWriter: (() => void) | undefined;

  /**
   * @param limitBytes once so much is held, see {@link Pieces.heldBytes}, the writer waits until nothing is
   * @param loans of the chunks whose pieces are offered
   */
  constructor(limitBytes: number, loans: Loans) {
    this.#limitBytes = limitBytes;
    this.#loans = loans;
    this.#pieces = new Pieces(loans, () => {
      // Not before: a reader that finds something held each time would get a copy of all that comes.
      if (this.#pieces.heldBytes === 0) this.#wakeWriter?.();
    });
  }

  /** To be read once. */
  get source(): ByteSource {
    return this.#pieces.source;
  }

  /** Resolves when more may be offered; undefined if there is nothing to wait for. Does not fail. */
  offer(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#pieces.ended || this.#pieces.unwanted) return undefined;
    if (this.#pieces.worthWaiting) return this.#offerLater(bytes);
    this.#pieces.receive(bytes);
    return this.#room();
  }

  async #offerLater(bytes: Uint8Array): Promise<void> {
    await this.#loans.waited();
    this.#pieces.receive(bytes);
    await this.#room();
  }

  #room(): Promise<void> | undefined {
    if (this.#pieces.heldBytes < this.#limitBytes) return undefined;
    return new Promise<void>((resolve) => this.#wakeWriter = resolve);
  }

  end(): void {
    this.#pieces.end();
    this.#wakeWriter?.();
  }

  /** The sender is lost: what is unread is dropped and the reader gets the error. */
  fail(error: Error): void {
    this.#pieces.fail(error);
    this.#wakeWriter?.();
  }
}
