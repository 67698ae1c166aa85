/** One at a time, by key. @module */

/** A lock per key, given in the order asked; keys that nobody holds or waits for take no memory. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Waits for the key and returns the permit; disposing it lets the next one in. Who gives up waiting
   * holds nobody up.
   *
   * @throws the reason of `signal`, once it has fired
   */
  async acquire(key: string, signal?: AbortSignal): Promise<Disposable> {
    signal?.throwIfAborted();
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    const tail = before === undefined ? promise : before.then(() => promise);
    this.#tails.set(key, tail);
    const forget = () => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    try {
      await unless(signal, before);
    } catch (error) {
      resolve();
      void tail.then(forget); // those before may still hold it
      throw error;
    }
    return {
      [Symbol.dispose]: () => {
        forget();
        resolve();
      },
    };
  }
}

async function unless(
  signal: AbortSignal | undefined,
  before: Promise<void> | undefined,
): Promise<void> {
  if (signal === undefined || before === undefined) return await before;
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([before, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
