/**
 * Clients that have not shown a URL yet: in a handshake, or before the end of their request's head.
 *
 * @module
 */

/** In the order in which they have begun to be waited for. */
export class UnauthenticatedClients {
  readonly #closers = new Set<() => void>();

  get size(): number {
    return this.#closers.size;
  }

  /**
   * One more, until the answer is disposed, which may be repeated.
   *
   * @param close ends its connection, which counts no more from then on
   */
  enter(close: () => void): Disposable {
    const closer = () => close();
    this.#closers.add(closer);
    return { [Symbol.dispose]: () => void this.#closers.delete(closer) };
  }

  /** Makes room for another. False if there is none. */
  closeOldest(): boolean {
    for (const close of this.#closers) {
      this.#closers.delete(close);
      close();
      return true;
    }
    return false;
  }
}
