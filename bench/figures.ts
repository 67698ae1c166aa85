/** Medians, percentiles and the table they are printed in. @module */

/** The value below which the share `q` of the samples lies (nearest rank). */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? NaN;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

interface Sample {
  readonly round: number;
  readonly value: number;
}

/** Samples by row and then by peer. Rounds are compared one by one. */
export class Figures {
  /** Round that samples are added to. */
  round = 1;
  readonly #rows = new Map<string, Map<string, Sample[]>>();
  readonly #notes: string[] = [];

  add(row: string, peer: string, value: number): void {
    const peers = this.#rows.get(row) ?? new Map<string, Sample[]>();
    this.#rows.set(row, peers);
    const samples = peers.get(peer) ?? [];
    peers.set(peer, samples);
    samples.push({ round: this.round, value });
  }

  /** Times one call in milliseconds and keeps the figure. */
  async time<T>(row: string, peer: string, work: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    const result = await work();
    this.add(row, peer, performance.now() - startedMs);
    return result;
  }

  /** Something that a reader of the table must know. */
  note(text: string): void {
    this.#notes.push(text);
  }

  /**
   * Markdown: median and p99 of each peer, and the ratio of the first peer's medians to each other
   * peer's: the median of the rounds' ratios.
   */
  table(peers: readonly string[]): string {
    const [ours = "", ...others] = peers;
    const head = [
      "",
      ...peers.map((peer) => `${peer}: median / p99`),
      ...others.map((peer) => `${ours} / ${peer}`),
    ];
    const lines = [head, head.map((_, index) => index === 0 ? "---" : "---:")];
    for (const [row, samples] of this.#rows) {
      const cells = peers.map((peer) => cell(samples.get(peer) ?? []));
      const ratios = others.map((peer) => ratio(samples.get(ours) ?? [], samples.get(peer) ?? []));
      lines.push([row, ...cells, ...ratios]);
    }
    const table = lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
    return [table, ...this.#notes.map((note) => `- ${note}`)].join("\n\n");
  }
}

function cell(samples: readonly Sample[]): string {
  if (samples.length === 0) return "-";
  const values = samples.map(({ value }) => value);
  if (values.length < 4) return shown(median(values));
  return `${shown(median(values))} / ${shown(quantile(values, 0.99))}`;
}

function ratio(ours: readonly Sample[], theirs: readonly Sample[]): string {
  const ratios = [...new Set(ours.map(({ round }) => round))].flatMap((round) => {
    const of = (samples: readonly Sample[]) =>
      median(samples.filter((sample) => sample.round === round).map(({ value }) => value));
    const value = of(ours) / of(theirs);
    return Number.isFinite(value) ? [value] : [];
  });
  return ratios.length === 0 ? "-" : median(ratios).toFixed(2);
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
