/**
 * The bytes of a layer blob as chunks, from a registry or from a file of ours; runs in a worker.
 *
 * @module
 */
import { CancelledError, InvalidArgumentError, shown, UnavailableError } from "../errors/mod.ts";
import type { LayerSource } from "./layers.ts";

export interface BlobAnswer {
  readonly status: number;
  readonly challenge: string;
  readonly retryAfter: string;
  /** Host that gave the status; after redirects not the one asked. */
  readonly host: string;
}

export type OpenedBlob =
  | { readonly kind: "open"; readonly chunks: AsyncIterable<Uint8Array> }
  | { readonly kind: "refused"; readonly answer: BlobAnswer };

const MAX_REDIRECTS = 5;
const FILE_CHUNK_BYTES = 1 << 20;
/** A connection that brings no byte for so long is given up; the caller may come again. */
const IDLE_TIMEOUT_MS = 60_000;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * @throws {UnavailableError} the connection broke or brought nothing for a minute
 * @throws {InvalidArgumentError} the source's address, or where it redirects to, is not usable
 * @throws {CancelledError} `signal` fired
 */
export function openBlob(source: LayerSource, signal: AbortSignal): Promise<OpenedBlob> {
  switch (source.kind) {
    case "http":
      return fetchBlob(source, signal);
    case "file":
      return Promise.resolve({ kind: "open", chunks: filePart(source, signal) });
  }
}

async function* filePart(
  source: Extract<LayerSource, { kind: "file" }>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(source.path, { read: true });
  await file.seek(source.offset, Deno.SeekMode.Start);
  const buffer = new Uint8Array(FILE_CHUNK_BYTES);
  let left = source.length;
  while (left > 0n) {
    if (signal.aborted) throw cancelled();
    const wanted = left < BigInt(buffer.length) ? Number(left) : buffer.length;
    const bytes = await file.read(buffer.subarray(0, wanted));
    if (bytes === null) return;
    left -= BigInt(bytes);
    yield buffer.subarray(0, bytes);
  }
}

async function fetchBlob(
  source: Extract<LayerSource, { kind: "http" }>,
  signal: AbortSignal,
): Promise<OpenedBlob> {
  const first = httpUrl(source.url);
  const client = source.caCerts === undefined
    ? undefined
    : Deno.createHttpClient({ caCerts: [...source.caCerts] });
  const idle = new IdleTimer(IDLE_TIMEOUT_MS);
  const giveUp = () => {
    idle[Symbol.dispose]();
    client?.close();
  };
  const either = AbortSignal.any([signal, idle.signal]);
  let url = first;
  try {
    for (let redirects = 0;; redirects++) {
      const response = await fetch(url, {
        headers: headersFor(source.headers, first, url),
        redirect: "manual",
        signal: either,
        ...(client === undefined ? {} : { client }),
      });
      idle.touch();
      if (response.status === 200 && response.body !== null) {
        return { kind: "open", chunks: bodyChunks(response.body, url, idle, signal, giveUp) };
      }
      await response.body?.cancel();
      if (!REDIRECTS.has(response.status)) {
        giveUp();
        return { kind: "refused", answer: answerOf(response, url) };
      }
      if (redirects === MAX_REDIRECTS) {
        throw new UnavailableError(
          `Cannot fetch the layer: ${first.host} redirects more than ${MAX_REDIRECTS} times`,
        );
      }
      url = redirectTarget(response.headers.get("location"), url);
    }
  } catch (error) {
    giveUp();
    throw connectionError(error, url, idle, signal);
  }
}

async function* bodyChunks(
  body: ReadableStream<Uint8Array>,
  url: URL,
  idle: IdleTimer,
  signal: AbortSignal,
  giveUp: () => void,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    while (true) {
      idle.touch();
      const { done, value } = await reader.read();
      // Unpacking may be slow: only waiting for the other side counts as idle.
      idle.pause();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw connectionError(error, url, idle, signal);
  } finally {
    reader.cancel().catch(() => {
      // Already broken or at its end: nothing is left to give back.
    });
    giveUp();
  }
}

/** Request headers are secrets of the first origin: no other host, port or scheme gets them. */
function headersFor(
  headers: Readonly<Record<string, string>>,
  first: URL,
  url: URL,
): Record<string, string> {
  // Without it fetch asks for, and decodes, compressed transfers of what is already compressed.
  const own = { "accept-encoding": "identity" };
  return url.origin === first.origin ? { ...headers, ...own } : own;
}

function redirectTarget(location: string | null, from: URL): URL {
  if (location === null) {
    throw new UnavailableError(
      `Cannot fetch the layer: ${from.host} redirects without saying where to`,
    );
  }
  const target = httpUrl(location, from);
  if (from.protocol === "https:" && target.protocol !== "https:") {
    throw new InvalidArgumentError(
      `Cannot fetch the layer: ${from.host} redirects from https to plain http on ${target.host}`,
    );
  }
  return target;
}

function httpUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new InvalidArgumentError(`Cannot fetch the layer: ${shown(text)} is no http address`);
  }
  return url;
}

function answerOf(response: Response, url: URL): BlobAnswer {
  return {
    status: response.status,
    challenge: (response.headers.get("www-authenticate") ?? "").slice(0, 4096),
    retryAfter: (response.headers.get("retry-after") ?? "").slice(0, 128),
    host: url.host,
  };
}

function connectionError(
  error: unknown,
  url: URL,
  idle: IdleTimer,
  signal: AbortSignal,
): unknown {
  if (error instanceof InvalidArgumentError || error instanceof UnavailableError) return error;
  if (signal.aborted) return cancelled();
  if (idle.signal.aborted) {
    return new UnavailableError(
      `Cannot fetch the layer: ${url.host} sent nothing for ${IDLE_TIMEOUT_MS / 1000} s`,
    );
  }
  return new UnavailableError(`Cannot fetch the layer: the connection to ${url.host} broke`, {
    cause: error,
  });
}

function cancelled(): CancelledError {
  return new CancelledError("Fetching the layer was cancelled");
}

/** Fires its signal when it has not been touched for a while. */
class IdleTimer implements Disposable {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.touch();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  touch(): void {
    this.pause();
    this.#timer = setTimeout(() => this.#controller.abort(), this.#timeoutMs);
  }

  pause(): void {
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    this.pause();
  }
}
