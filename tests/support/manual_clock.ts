/** A clock of milliseconds that stands still until a test moves it. @module */
export class ManualClock {
  #nowMs = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly act: () => void }>();

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(ms: number, act: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, act };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Time passes, and every timer runs at its time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    while (this.#runNext(endMs));
    this.#nowMs = endMs;
  }

  /** Time passes while the thread is kept from running anything; then what is due by now runs, once. */
  freeze(ms: number): void {
    this.#nowMs += ms;
    for (const timer of [...this.#timers].filter(({ atMs }) => atMs <= this.#nowMs)) {
      if (this.#timers.delete(timer)) timer.act();
    }
  }

  #runNext(endMs: number): boolean {
    const [next] = [...this.#timers].sort((a, b) => a.atMs - b.atMs);
    if (next === undefined || next.atMs > endMs) return false;
    this.#timers.delete(next);
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    next.act();
    return true;
  }
}
