/**
 * What a client sends for one reader, as pieces of the chunks in which it came.
 *
 * A reader that waits gets a view of the chunk, on loan. What comes while it does not wait is copied and
 * held: a view would keep all of its chunk alive.
 *
 * @module
 */
import type { ByteSource } from "../model/mod.ts";
import { Arrivals } from "./arrivals.ts";
import type { Loans } from "./loans.ts";

/** Objects around a piece that is held; bounds the number of small ones. */
const PIECE_OVERHEAD_BYTES = 256;
/** A view of less than this part of its chunk's memory is copied: its reader may have it for long. */
const SMALLEST_LOAN = 1 / 8;

/** Has no limit itself: whoever hands pieces in looks at {@link Pieces.heldBytes}. */
export class Pieces {
  readonly #loans: Loans;
  readonly #onHeld: (by: number) => void;
  readonly #arrivals: Arrivals<Uint8Array>;
  #heldBytes = 0;

  /** @param onHeld {@link heldBytes} has changed by so many */
  constructor(loans: Loans, onHeld: (by: number) => void) {
    this.#loans = loans;
    this.#onHeld = onHeld;
    this.#arrivals = new Arrivals((piece) => this.#hold(-costOf(piece)));
  }

  /** To be read once. */
  get source(): ByteSource {
    return this.#arrivals;
  }

  /** What waits for the reader, with what stands around it. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** True once no more can come. */
  get ended(): boolean {
    return this.#arrivals.ended;
  }

  /** True once the reader has left: what comes is dropped. */
  get unwanted(): boolean {
    return this.#arrivals.unwanted;
  }

  /** The reader may be about to ask for more: a moment's patience with {@link Loans.waited} saves a copy. */
  get worthWaiting(): boolean {
    return this.#arrivals.lent && this.#heldBytes === 0;
  }

  receive(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.unwanted || this.ended) return;
    if (this.#arrivals.awaited) {
      const isSmall = bytes.length < bytes.buffer.byteLength * SMALLEST_LOAN;
      this.#arrivals.lend(isSmall ? bytes.slice() : bytes, this.#loans.lend());
      return;
    }
    const piece = bytes.slice();
    this.#hold(costOf(piece));
    this.#arrivals.push(piece);
  }

  /** The reader gets what is held, then the end. */
  end(): void {
    this.#arrivals.end();
  }

  /** The sender is lost: what is held is dropped, and the reader gets the error. */
  fail(error: Error): void {
    this.#arrivals.fail(error);
  }

  #hold(by: number): void {
    this.#heldBytes += by;
    this.#onHeld(by);
  }
}

function costOf(piece: Uint8Array): number {
  return piece.length + PIECE_OVERHEAD_BYTES;
}
