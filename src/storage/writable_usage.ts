/**
 * How much all writable layers hold: measured by a worker when asked, at most once in a while, since only
 * the containers know when they write.
 *
 * @module
 */

export interface Measure {
  readonly bytes: bigint;
  readonly inodes: number;
}

export interface WritableUsageOptions {
  readonly list: () => Promise<readonly string[]>;
  readonly measure: (paths: readonly string[]) => Promise<readonly Measure[]>;
  /** A figure older than this is measured again; 10 s by default, the kubelet's interval. */
  readonly maxAgeMs?: number;
}

export class WritableUsage {
  readonly #options: WritableUsageOptions;
  #latest: { readonly atMs: number; readonly total: Promise<Measure> } | undefined;

  constructor(options: WritableUsageOptions) {
    this.#options = options;
  }

  /** A snapshot came or went: the next question measures. */
  changed(): void {
    this.#latest = undefined;
  }

  get(): Promise<Measure> {
    const now = performance.now();
    const maxAgeMs = this.#options.maxAgeMs ?? 10_000;
    if (this.#latest === undefined || now - this.#latest.atMs > maxAgeMs) {
      const total = this.#measure();
      const latest = { atMs: now, total };
      this.#latest = latest;
      total.catch(() => {
        if (this.#latest === latest) this.#latest = undefined;
      });
    }
    return this.#latest.total;
  }

  async #measure(): Promise<Measure> {
    const measures = await this.#options.measure(await this.#options.list());
    return measures.reduce(
      (sum, { bytes, inodes }) => ({ bytes: sum.bytes + bytes, inodes: sum.inodes + inodes }),
      { bytes: 0n, inodes: 0 },
    );
  }
}
