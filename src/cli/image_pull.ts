/** Pulling an image with its progress on standard error. @module */
import { ResourceExhaustedError } from "../errors/mod.ts";
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

/** What the server says of the pulls under way at {@link PULLS_PATH}. */
interface PullReport {
  readonly reference: string;
  readonly layers: readonly {
    readonly digest: string;
    readonly sizeBytes: string;
    readonly state: "queued" | "fetching" | "done" | "present";
    readonly fetchedBytes?: string;
  }[];
}

/** Answers line by line, one JSON value each time that a pull of the image moves, until none does. */
export const PULLS_PATH = "/v1/images/pulls";

/** @returns the image's reference by digest or id */
export async function pullImage(pull: ImagePull): Promise<string> {
  const { client, image, credentials, signal } = pull;
  const watching = new AbortController();
  const progress = pull.quiet === true ? Promise.resolve() : showProgress(pull, watching.signal);
  try {
    const answer = await client.image.pullImage(
      { image: { image }, ...(credentials === undefined ? {} : { auth: credentials }) },
      { timeoutMs: 0, ...(signal === undefined ? {} : { signal }) },
    );
    return answer.imageRef;
  } finally {
    watching.abort();
    await progress;
  }
}

async function showProgress(pull: ImagePull, signal: AbortSignal): Promise<void> {
  const { client, terminal, image } = pull;
  let shown = "";
  try {
    const path = `${PULLS_PATH}?image=${encodeURIComponent(image)}`;
    for await (const line of client.lines({ method: "GET", path, signal })) {
      const text = progressText(JSON.parse(line) as PullReport);
      if (text === shown) continue;
      if (terminal.interactive) {
        terminal.error(`\r\x1b[K${text}`);
      } else {
        terminal.error(`${text}\n`);
      }
      shown = text;
    }
  } catch (error) {
    // Progress is a courtesy: without it the pull goes on.
    if (error instanceof ResourceExhaustedError) terminal.error(`${error.message}\n`);
  } finally {
    if (terminal.interactive && shown !== "") terminal.error("\r\x1b[K");
  }
}

/** `3 of 5 layers, 12.0MB of 48.1MB` */
function progressText({ reference, layers }: PullReport): string {
  let fetched = 0n;
  let total = 0n;
  let done = 0;
  for (const layer of layers) {
    const size = BigInt(layer.sizeBytes);
    total += size;
    if (layer.state === "done" || layer.state === "present") {
      done += 1;
      fetched += size;
    } else fetched += BigInt(layer.fetchedBytes ?? "0");
  }
  return `${reference}: ${done} of ${layers.length} layers, ${bytesText(fetched)} of ${
    bytesText(total)
  }`;
}
