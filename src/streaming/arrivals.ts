/** Things that arrive for one reader. @module */
import { InternalError } from "../errors/mod.ts";

/**
 * A queue that one reader iterates once. It has no limit itself: whoever fills it stops in time.
 * Leaving the loop drops what is queued and all that comes.
 */
export class Arrivals<T> implements AsyncIterable<T>, AsyncIterator<T, undefined> {
  readonly #onLeft: (item: T) => void;
  #queued: T[] = [];
  #waiting: PromiseWithResolvers<IteratorResult<T, undefined>> | undefined;
  #giveBack: (() => void) | undefined;
  #end: { readonly error: Error | undefined } | undefined;
  #unwanted = false;

  /** @param onLeft an item that was queued has been read or dropped */
  constructor(onLeft: (item: T) => void = () => {}) {
    this.#onLeft = onLeft;
  }

  /** True once no more can arrive. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** True while the reader waits: what arrives now is not queued. */
  get awaited(): boolean {
    return this.#waiting !== undefined;
  }

  /** True while the reader has an item that was lent. */
  get lent(): boolean {
    return this.#giveBack !== undefined;
  }

  /** True once the reader has left. */
  get unwanted(): boolean {
    return this.#unwanted;
  }

  push(item: T): void {
    if (this.#end !== undefined || this.#unwanted) return void this.#onLeft(item);
    const waiting = this.#waiting;
    if (waiting === undefined) return void this.#queued.push(item);
    this.#waiting = undefined;
    this.#onLeft(item);
    waiting.resolve({ done: false, value: item });
  }

  /** Hands an item to a reader that is {@link awaited}. @param giveBack it asks for the next, or leaves */
  lend(item: T, giveBack: () => void): void {
    const waiting = this.#waiting;
    if (waiting === undefined) throw new InternalError("Lent to a reader that does not wait");
    this.#waiting = undefined;
    this.#giveBack = giveBack;
    waiting.resolve({ done: false, value: item });
  }

  /** The reader gets what is queued, then the end. */
  end(): void {
    this.#end ??= { error: undefined };
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ done: true, value: undefined });
  }

  /** The reader gets the error at once, and what is queued is dropped; no error comes behind an end that is next. */
  fail(error: Error): void {
    if (this.#end !== undefined && this.#queued.length === 0) return;
    this.#end = { error };
    this.#drop();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    this.#returnLoan();
    const item = this.#queued.shift();
    if (item !== undefined) {
      this.#onLeft(item);
      return Promise.resolve({ done: false, value: item });
    }
    if (this.#unwanted) return Promise.resolve({ done: true, value: undefined });
    if (this.#end !== undefined) {
      return this.#end.error === undefined
        ? Promise.resolve({ done: true, value: undefined })
        : Promise.reject(this.#end.error);
    }
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#unwanted = true;
    this.#returnLoan();
    this.#drop();
    this.#waiting?.resolve({ done: true, value: undefined });
    this.#waiting = undefined;
    return Promise.resolve({ done: true, value: undefined });
  }

  #returnLoan(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = undefined;
    giveBack?.();
  }

  #drop(): void {
    for (const item of this.#queued.splice(0)) this.#onLeft(item);
  }
}
