/** Pulling an image with its progress on standard error. @module */
import { FailedPreconditionError, UnavailableError } from "../errors/mod.ts";
import { serverMessage } from "./failure.ts";
import type { CriClient } from "./client.ts";
import { bytesText } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface ImagePull {
  readonly client: CriClient;
  readonly terminal: Terminal;
  readonly image: string;
  readonly quiet?: boolean;
  readonly credentials?: { readonly username: string; readonly password: string };
  readonly signal?: AbortSignal;
}

/** What the server says while it pulls, line by line; the last has `image` or `error`. */
interface PullLine {
  readonly progress?: { readonly layers: readonly LayerReport[] };
  readonly image?: { readonly id: string; readonly repoDigests: readonly string[] };
  readonly error?: string;
}

interface LayerReport {
  readonly sizeBytes: string;
  readonly fetchedBytes: string;
  readonly state: "queued" | "fetching" | "done" | "present";
}

const PULL_PATH = "/v1/images/pull";

/** @returns the image's id */
export async function pullImage(pull: ImagePull): Promise<string> {
  const { client, image, credentials, signal } = pull;
  using progress = new ProgressLine(pull);
  const lines = client.lines({
    method: "POST",
    path: `${PULL_PATH}?${new URLSearchParams({ image })}`,
    ...(credentials === undefined
      ? {}
      : { body: new Blob([JSON.stringify(credentials)]).stream() }),
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const line of lines) {
    const { progress: report, image: pulled, error } = JSON.parse(line) as PullLine;
    if (error !== undefined) throw new FailedPreconditionError(...serverMessage(error));
    if (pulled !== undefined) return pulled.id;
    if (report !== undefined) progress.show(report.layers);
  }
  throw new UnavailableError(`The server ended while it pulled ${image}`, {
    remedy: "pull again: what has arrived is kept",
  });
}

/** Redraws one line on a terminal; elsewhere a line each time that a layer is done. */
class ProgressLine implements Disposable {
  readonly #terminal: Terminal;
  readonly #image: string;
  readonly #quiet: boolean;
  #done = -1;
  #shownAt = -Infinity;

  constructor({ terminal, image, quiet = false }: ImagePull) {
    this.#terminal = terminal;
    this.#image = image;
    this.#quiet = quiet;
  }

  show(layers: readonly LayerReport[]): void {
    if (this.#quiet) return;
    const done = layers.filter(({ state }) => state === "done" || state === "present").length;
    const moved = done !== this.#done;
    const { interactive } = this.#terminal;
    if (!moved && (!interactive || performance.now() - this.#shownAt < REDRAW_MS)) return;
    this.#done = done;
    this.#shownAt = performance.now();
    const text = `${this.#image}: ${progressText(layers, done)}`;
    this.#terminal.error(interactive ? `\r\x1b[K${text}` : `${text}\n`);
  }

  [Symbol.dispose](): void {
    if (this.#terminal.interactive && this.#done >= 0) this.#terminal.error("\r\x1b[K");
  }
}

const REDRAW_MS = 100;

/** `3 of 5 layers, 12.0MB of 48.1MB` */
function progressText(layers: readonly LayerReport[], done: number): string {
  let fetched = 0n;
  let total = 0n;
  for (const { state, sizeBytes, fetchedBytes } of layers) {
    const size = BigInt(sizeBytes);
    total += size;
    fetched += state === "done" || state === "present" ? size : BigInt(fetchedBytes);
  }
  return `${done} of ${layers.length} layers, ${bytesText(fetched)} of ${bytesText(total)}`;
}
