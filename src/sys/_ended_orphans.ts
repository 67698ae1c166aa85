/**
 * Ends of orphans, for those who will ask for one of them: an orphan may end before it is known which
 * process it is.
 *
 * @module
 */
import type { ProcessEnding } from "./process_runner.ts";

/** An end that happened since this was made is kept for it. Disposed when its orphan was taken or will not come. */
export interface Expectation extends Disposable {
  /** The end of an orphan, which nobody else gets then. */
  take(pid: number): ProcessEnding | undefined;
}

interface Ended {
  readonly ending: ProcessEnding;
  /** Number among all ends. */
  readonly number: number;
}

export class EndedOrphans {
  /** By pid, oldest first. */
  readonly #ended = new Map<number, Ended>();
  /** Each by the number of the first end that may be of its orphan, oldest first. */
  readonly #expectations = new Map<symbol, number>();
  #nextNumber = 0;

  /** Ends that are kept. */
  get size(): number {
    return this.#ended.size;
  }

  expect(): Expectation {
    const key = Symbol("expectation");
    const first = this.#nextNumber;
    this.#expectations.set(key, first);
    return {
      take: (pid) => {
        const ended = this.#ended.get(pid);
        // An earlier one had the same pid.
        if (ended === undefined || ended.number < first) return undefined;
        this.#ended.delete(pid);
        return ended.ending;
      },
      [Symbol.dispose]: () => {
        if (this.#expectations.delete(key)) this.#drop();
      },
    };
  }

  add(pid: number, ending: ProcessEnding): void {
    if (this.#expectations.size === 0) return;
    this.#ended.delete(pid); // it takes its place among the newest
    this.#ended.set(pid, { ending, number: this.#nextNumber++ });
  }

  /** What nobody can ask for any more. */
  #drop(): void {
    const [first = Infinity] = this.#expectations.values();
    for (const [pid, { number }] of this.#ended) {
      if (number >= first) return;
      this.#ended.delete(pid);
    }
  }
}
