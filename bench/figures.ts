/** Medians, percentiles and the table they are printed in. @module */

/** The value below which the share `q` of the samples lies (nearest rank). */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? NaN;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** Samples in milliseconds, by row and then by peer. */
export class Figures {
  readonly #rows = new Map<string, Map<string, number[]>>();

  add(row: string, peer: string, value: number): void {
    const peers = this.#rows.get(row) ?? new Map<string, number[]>();
    this.#rows.set(row, peers);
    const samples = peers.get(peer) ?? [];
    peers.set(peer, samples);
    samples.push(value);
  }

  /** Times one call and keeps the figure. */
  async time<T>(row: string, peer: string, work: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    const result = await work();
    this.add(row, peer, performance.now() - startedMs);
    return result;
  }

  /** Markdown: median and p99 of each peer, and the ratio of the medians to the reference. */
  table(peers: readonly string[], reference: string): string {
    const others = peers.filter((peer) => peer !== reference);
    const head = [
      "",
      ...peers.map((peer) => `${peer}: median / p99`),
      ...others.map((peer) => `${peer} / ${reference}`),
    ];
    const lines = [head, head.map(() => "---")];
    for (const [row, samples] of this.#rows) {
      const cells = peers.map((peer) => {
        const values = samples.get(peer) ?? [];
        return values.length === 0
          ? "-"
          : `${shown(median(values))} / ${shown(quantile(values, 0.99))}`;
      });
      const base = samples.get(reference);
      const ratios = others.map((peer) => {
        const values = samples.get(peer);
        return base === undefined || values === undefined
          ? "-"
          : (median(values) / median(base)).toFixed(2);
      });
      lines.push([row, ...cells, ...ratios]);
    }
    return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  }
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
