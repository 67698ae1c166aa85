/**
 * What is shown of a pull: on a terminal each layer with its rate and the time left, redrawn in
 * place; elsewhere a line for each layer that is done.
 *
 * @module
 */
import { bytesText, safeText } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { timeText, TransferRate } from "./transfer_rate.ts";

/** A layer, as the server reports it; numbers are decimal texts. */
export interface LayerReport {
  readonly digest: string;
  readonly sizeBytes: string;
  readonly fetchedBytes: string;
  readonly state: "queued" | "fetching" | "done" | "present";
}

export interface PullProgressOptions {
  readonly terminal: Terminal;
  readonly image: string;
  readonly quiet?: boolean;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

const REDRAW_MS = 100;
const BAR_CELLS = 20;
/** Rows of a terminal that says no size. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };

export class PullProgress implements Disposable {
  readonly #terminal: Terminal;
  readonly #image: string;
  readonly #quiet: boolean;
  readonly #now: () => number;
  readonly #rates = new Map<string, TransferRate>();
  readonly #told = new Set<string>();
  readonly #beganMs: number;
  #drawnRows = 0;
  #drawnAtMs = -Infinity;

  constructor(
    { terminal, image, quiet = false, now = () => performance.now() }: PullProgressOptions,
  ) {
    this.#terminal = terminal;
    this.#image = safeText(image);
    this.#quiet = quiet;
    this.#now = now;
    this.#beganMs = now();
  }

  show(layers: readonly LayerReport[]): void {
    if (this.#quiet) return;
    const now = this.#now();
    for (const { digest, fetchedBytes } of layers) {
      const rate = this.#rates.get(digest) ?? new TransferRate();
      this.#rates.set(digest, rate);
      rate.add(now, BigInt(fetchedBytes));
    }
    if (this.#terminal.interactive) this.#draw(layers, now);
    else this.#tell(layers, now);
  }

  /** Takes away what was drawn. */
  [Symbol.dispose](): void {
    if (this.#drawnRows > 0) this.#terminal.error(`\x1b[${this.#drawnRows}A\r\x1b[J`);
    this.#drawnRows = 0;
  }

  #draw(layers: readonly LayerReport[], now: number): void {
    const ended = layers.every(isDone);
    if (!ended && now - this.#drawnAtMs < REDRAW_MS) return;
    this.#drawnAtMs = now;
    const { columns, rows } = this.#terminal.size ?? DEFAULT_SIZE;
    const room = Math.max(1, rows - 2);
    // Where not all fit, those that move are what somebody waits for.
    const shown = layers.length <= room
      ? layers
      : layers.filter(({ state }) => state === "fetching").slice(0, room);
    const lines = [this.#summary(layers), ...shown.map((layer) => this.#layerLine(layer))]
      .map((line) => line.slice(0, Math.max(1, columns - 1)));
    const back = this.#drawnRows === 0 ? "" : `\x1b[${this.#drawnRows}A\r\x1b[J`;
    this.#terminal.error(`${back}${lines.join("\n")}\n`);
    this.#drawnRows = lines.length;
  }

  #summary(layers: readonly LayerReport[]): string {
    let [fetched, total] = [0n, 0n];
    for (const layer of layers) {
      fetched += fetchedOf(layer);
      total += BigInt(layer.sizeBytes);
    }
    const done = layers.filter(isDone).length;
    const rate = [...this.#rates.values()].reduce((sum, one) => sum + one.bytesPerSecond, 0);
    return `${this.#image}: ${done} of ${layers.length} layers, ${bytesText(fetched)} of ` +
      `${bytesText(total)}${rateText(rate, total - fetched)}`;
  }

  #layerLine(layer: LayerReport): string {
    const size = BigInt(layer.sizeBytes);
    const fetched = fetchedOf(layer);
    const filled = size === 0n ? 0 : Number(fetched * BigInt(BAR_CELLS) / size);
    const bar = "#".repeat(Math.min(filled, BAR_CELLS)).padEnd(BAR_CELLS, ".");
    const rate = this.#rates.get(layer.digest)?.bytesPerSecond ?? 0;
    const detail = layer.state !== "fetching"
      ? { queued: "waits", done: "done", present: "is here" }[layer.state]
      : fetched >= size
      ? "unpacking"
      : `${bytesText(fetched)} of ${bytesText(size)}${rateText(rate, size - fetched)}`;
    const sizeText = bytesText(size).padStart(7);
    return `  ${shortDigest(layer)}  ${bar} ${sizeText}  ${detail}`;
  }

  #tell(layers: readonly LayerReport[], now: number): void {
    layers.forEach((layer, index) => {
      if (!isDone(layer) || this.#told.has(layer.digest)) return;
      this.#told.add(layer.digest);
      const what = layer.state === "present"
        ? "is here already"
        : `fetched after ${timeText((now - this.#beganMs) / 1000)}`;
      this.#terminal.error(
        `${this.#image}: layer ${index + 1} of ${layers.length}, ${shortDigest(layer)}, ` +
          `${bytesText(BigInt(layer.sizeBytes))}: ${what}\n`,
      );
    });
  }
}

function isDone({ state }: LayerReport): boolean {
  return state === "done" || state === "present";
}

function fetchedOf(layer: LayerReport): bigint {
  return BigInt(isDone(layer) ? layer.sizeBytes : layer.fetchedBytes);
}

function shortDigest({ digest }: LayerReport): string {
  return safeText(digest.replace(/^sha256:/, "").slice(0, 12));
}

/** Nothing where nothing moves: no time left can be told. */
function rateText(bytesPerSecond: number, leftBytes: bigint): string {
  if (bytesPerSecond < 1) return "";
  const left = leftBytes > 0n ? `, ${timeText(Number(leftBytes) / bytesPerSecond)} left` : "";
  return `, ${bytesText(BigInt(Math.round(bytesPerSecond)))}/s${left}`;
}
