/** One queue a key: calls with the same key run one after the other, others at the same time. @module */

export class SerialQueues<Key> {
  readonly #tails = new Map<Key, Promise<unknown>>();

  run<Result>(key: Key, act: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    // A failure belongs to its own caller; the next one runs all the same.
    const result = before.then(act, act);
    this.#tails.set(key, result);
    const forget = () => {
      if (this.#tails.get(key) === result) this.#tails.delete(key);
    };
    result.then(forget, forget);
    return result;
  }
}
