/** How fast bytes come, over the last seconds. @module */

/** Shorter than this tells of single packets, longer of what is past. */
const WINDOW_MS = 5_000;

export class TransferRate {
  readonly #samples: { readonly atMs: number; readonly bytes: bigint }[] = [];

  /** @param bytes all that has come so far */
  add(atMs: number, bytes: bigint): void {
    this.#samples.push({ atMs, bytes });
    // One older than the window stays, so that the window is full.
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - WINDOW_MS) {
      this.#samples.shift();
    }
  }

  /** Bytes a second; 0 before two samples. */
  get bytesPerSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return Math.max(0, Number(last.bytes - first.bytes)) * 1000 / (last.atMs - first.atMs);
  }
}

/** `7s`, `3m20s`, `2h5m`. */
export function timeText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${whole % 60}s`;
  return `${Math.floor(whole / 3600)}h${Math.floor(whole % 3600 / 60)}m`;
}
