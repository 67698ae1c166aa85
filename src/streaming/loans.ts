/**
 * Views of a connection's memory that are with their readers.
 *
 * A connection is read into the same memory again and again. Whoever takes its chunks apart hands views of
 * them to readers that wait, and sees to it before the next chunk that they have come back. A reader that
 * does not ask for more soon, because the process behind it does not take its bytes, must not hold up the
 * others: it keeps the memory, and the connection gets other.
 *
 * @module
 */
import { clearImmediate, setImmediate } from "node:timers";

/** What other readers wait for one at most; a process that reads at all mostly takes its bytes in less. */
const PATIENCE_MS = 5;

export class Loans {
  readonly #keep: () => void;
  #out = 0;
  /** Views of memory that was kept count no more. */
  #memory = 0;
  #wake: (() => void) | undefined;

  /** @param keep leaves the memory of the last chunk to those who have views of it */
  constructor(keep: () => void) {
    this.#keep = keep;
  }

  /** One more view is out; the answer is to be called once, when it comes back. */
  lend(): () => void {
    const memory = this.#memory;
    this.#out++;
    return () => {
      if (memory === this.#memory && --this.#out === 0) this.#wake?.();
    };
  }

  /** Resolves when all are back, or after {@link PATIENCE_MS}. One caller at a time. */
  async waited(): Promise<void> {
    if (this.#out === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    // Most come back within the turn, and a timer costs more than that.
    let timer: ReturnType<typeof setTimeout> | undefined;
    const turn = setImmediate(() => timer = setTimeout(resolve, PATIENCE_MS));
    await promise;
    clearImmediate(turn);
    clearTimeout(timer);
    this.#wake = undefined;
  }

  /** Resolves when the next chunk may be read: what is not back then keeps its memory. */
  async settled(): Promise<void> {
    await this.waited();
    if (this.#out === 0) return;
    this.#out = 0;
    this.#memory++;
    this.#keep();
  }
}
