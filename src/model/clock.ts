/** Time, as a parameter. @module */

export interface Clock {
  /** Wall clock, nanoseconds since the epoch; for timestamps only. */
  nowNs(): bigint;
  /** Monotonic milliseconds with a fraction; for every deadline and duration. */
  monotonicMs(): number;
}

/** The machine's clocks; `nowNs` strictly increases within this process. */
export class SystemClock implements Clock {
  #lastNs = 0n;

  nowNs(): bigint {
    const millis = performance.timeOrigin + performance.now();
    const whole = Math.floor(millis);
    const now = BigInt(whole) * 1_000_000n + BigInt(Math.floor((millis - whole) * 1e6));
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + 1n;
    return this.#lastNs;
  }

  monotonicMs(): number {
    return performance.now();
  }
}
