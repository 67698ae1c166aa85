/** Time, as a parameter. @module */

export interface Clock {
  /** Wall clock, nanoseconds since the epoch; for timestamps only. */
  nowNs(): bigint;
  /** From now on `nowNs` tells only times after this one: what an earlier process has given out. */
  startAfter(ns: bigint): void;
  /** Monotonic milliseconds with a fraction; for every deadline and duration. */
  monotonicMs(): number;
}

/** Longest time that a timer can hold: 24 days. Set to more, it fires at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** So far apart are the two clocks only when somebody has set the machine's. */
const SET_MS = 10;

/** The machine's clocks; `nowNs` strictly increases, also when the wall clock is set back. */
export class SystemClock implements Clock {
  #lastNs = 0n;
  /** Wall clock at the monotonic zero, which gives `Date.now` its fractions. */
  #originMs = performance.timeOrigin;

  nowNs(): bigint {
    const sinceMs = performance.now();
    const wallMs = Date.now();
    if (Math.abs(wallMs - (this.#originMs + sinceMs)) > SET_MS) this.#originMs = wallMs - sinceMs;
    const millis = this.#originMs + sinceMs;
    const whole = Math.floor(millis);
    const now = BigInt(whole) * 1_000_000n + BigInt(Math.floor((millis - whole) * 1e6));
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + 1n;
    return this.#lastNs;
  }

  startAfter(ns: bigint): void {
    if (ns > this.#lastNs) this.#lastNs = ns;
  }

  monotonicMs(): number {
    return performance.now();
  }
}
