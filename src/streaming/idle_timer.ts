/** Ends what has been idle for too long. @module */
import { type Clock, LONGEST_TIMER_MS } from "../model/mod.ts";

/** Calls back once when {@link touch} has not been called for so long. Disposing stops it. */
export class IdleTimer implements Disposable {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onIdle: () => void;
  #lastMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param options.timeoutMs 0 means never */
  constructor(
    options: { readonly clock: Clock; readonly timeoutMs: number; readonly onIdle: () => void },
  ) {
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
    this.#onIdle = options.onIdle;
    this.#lastMs = this.#clock.monotonicMs();
    if (this.#timeoutMs > 0) this.#arm(this.#timeoutMs);
  }

  /** Cheap enough for every piece of data. */
  touch(): void {
    this.#lastMs = this.#clock.monotonicMs();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => {
      const leftMs = this.#lastMs + this.#timeoutMs - this.#clock.monotonicMs();
      if (leftMs > 0) this.#arm(leftMs);
      else this.#onIdle();
    }, Math.min(delayMs, LONGEST_TIMER_MS));
  }
}
