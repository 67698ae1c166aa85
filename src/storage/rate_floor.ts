/**
 * When a connection counts as stalled: less than a rate over a window of time, of which only the time
 * spent waiting for the other side counts.
 *
 * @module
 */
import type { StallRule } from "./layers.ts";

/** The window moves in steps of a tenth. */
const SLICES = 10;

export class RateFloor implements Disposable {
  readonly #rule: StallRule;
  readonly #sliceMs: number;
  readonly #controller = new AbortController();
  /** Bytes of the slices that are over, oldest first; at most as many as the window has. */
  readonly #slices: number[] = [];
  #sliceBytes = 0;
  #sliceWaitedMs = 0;
  #waitingSinceMs: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reason = "";

  /** The time for the first answer counts, too. */
  constructor(rule: StallRule) {
    this.#rule = rule;
    this.#sliceMs = rule.windowMs / SLICES;
    this.waiting();
  }

  /** Fires when the connection has stalled. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the signal fired. */
  get reason(): string {
    return this.#reason;
  }

  /** From now on the other side is waited for. */
  waiting(): void {
    if (this.#waitingSinceMs !== undefined) return;
    this.#waitingSinceMs = performance.now();
    this.#arm();
  }

  /** The other side sent so many bytes, and is not waited for until {@link waiting}. */
  received(bytes: number): void {
    this.#account();
    this.#waitingSinceMs = undefined;
    clearTimeout(this.#timer);
    this.#sliceBytes += bytes;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#waitingSinceMs = undefined;
  }

  #arm(): void {
    this.#timer = setTimeout(() => {
      this.#account();
      if (!this.signal.aborted) this.#arm();
    }, Math.max(1, this.#sliceMs - this.#sliceWaitedMs));
  }

  /** Adds the time waited; closes the slices that it fills and looks at the window after each. */
  #account(): void {
    if (this.#waitingSinceMs === undefined) return;
    const nowMs = performance.now();
    this.#sliceWaitedMs += nowMs - this.#waitingSinceMs;
    this.#waitingSinceMs = nowMs;
    while (this.#sliceWaitedMs >= this.#sliceMs) {
      this.#sliceWaitedMs -= this.#sliceMs;
      this.#slices.push(this.#sliceBytes);
      this.#sliceBytes = 0;
      if (this.#slices.length > SLICES) this.#slices.shift();
      if (this.#slices.length === SLICES) this.#judge();
    }
  }

  #judge(): void {
    const { windowMs, floorBytesPerSecond } = this.#rule;
    const bytes = this.#slices.reduce((sum, slice) => sum + slice, 0);
    if (bytes >= floorBytesPerSecond * windowMs / 1000 || this.signal.aborted) return;
    this.#reason = `it sent ${bytes} bytes in ${windowMs / 1000} s`;
    this.#controller.abort();
  }
}
