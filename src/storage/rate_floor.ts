/**
 * When a connection counts as stalled: less than a rate over a window of time, of which only the time
 * spent waiting for the other side counts.
 *
 * The thread that waits has other work, which may keep it from reading what has long come. Such a pause
 * must not look like silence: what lies ready is read before the window is looked at, and one look
 * counts no more time than {@link MAX_SLICES_AT_ONCE}.
 *
 * @module
 */
import type { StallRule } from "./layers.ts";

/** The window moves in steps of a tenth. */
const SLICES = 10;
/** The most that one look at the clock adds; more passed only if the thread was busy. */
const MAX_SLICES_AT_ONCE = 2;
/** How long after its time the window is looked at, at most: reads that are ready come first. */
const MAX_GRACE_MS = 100;

/** The time, and what is to happen later. */
export interface FloorClock {
  /** Milliseconds since any moment; never goes back. */
  nowMs(): number;
  /** @returns what keeps it from happening */
  after(ms: number, act: () => void): () => void;
}

const THREAD_CLOCK: FloorClock = {
  nowMs: () => performance.now(),
  after(ms, act) {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
};

export class RateFloor implements Disposable {
  readonly #rule: StallRule;
  readonly #clock: FloorClock;
  readonly #sliceMs: number;
  readonly #controller = new AbortController();
  /** Bytes of the slices that are over, oldest first; at most as many as the window has. */
  readonly #slices: number[] = [];
  #sliceBytes = 0;
  #sliceWaitedMs = 0;
  #waitingSinceMs: number | undefined;
  #disarm = () => {};
  #reason = "";

  /** The time for the first answer counts, too. */
  constructor(rule: StallRule, clock: FloorClock = THREAD_CLOCK) {
    this.#rule = rule;
    this.#clock = clock;
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
    this.#waitingSinceMs = this.#clock.nowMs();
    this.#arm();
  }

  /** The other side sent so many bytes, and is not waited for until {@link waiting}. */
  received(bytes: number): void {
    // They came during the time that is accounted now, not after it.
    this.#sliceBytes += bytes;
    this.#account();
    this.#waitingSinceMs = undefined;
    this.#disarm();
  }

  [Symbol.dispose](): void {
    this.#disarm();
    this.#waitingSinceMs = undefined;
  }

  #arm(): void {
    const restMs = Math.max(1, this.#sliceMs - this.#sliceWaitedMs);
    this.#disarm = this.#clock.after(restMs, () => {
      // Where the thread was busy, this runs before the reads of what came meanwhile; they disarm it.
      this.#disarm = this.#clock.after(Math.min(MAX_GRACE_MS, this.#sliceMs / 4), () => {
        this.#account();
        if (!this.signal.aborted) this.#arm();
      });
    });
  }

  /** Adds the time waited; closes the slices that it fills and looks at the window after each. */
  #account(): void {
    if (this.#waitingSinceMs === undefined) return;
    const nowMs = this.#clock.nowMs();
    this.#sliceWaitedMs += Math.min(
      nowMs - this.#waitingSinceMs,
      MAX_SLICES_AT_ONCE * this.#sliceMs,
    );
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
