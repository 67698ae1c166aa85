/** One at a time, in the order of asking. @module */

export class Lock {
  #tail: Promise<void> = Promise.resolve();

  /** Resolves when it is the caller's turn, which lasts until the result is disposed. */
  async acquire(): Promise<Disposable> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    await before;
    return { [Symbol.dispose]: resolve };
  }
}
