/**
 * The bytes of a layer blob as chunks, from registries or from a file of ours; runs in a worker.
 *
 * A connection that breaks or stalls does not end a download: the owner of the blob is asked where to go
 * on, and the bytes that are here are not fetched again. Which place gave which byte does not matter:
 * the digest is of the whole.
 *
 * @module
 */
import { CancelledError, InvalidArgumentError, shown } from "../errors/mod.ts";
import { addressText, failureText, HttpTransport } from "./http_transport.ts";
import type { BlobFailure, BlobPlace, BlobSetback, LayerSource, StallRule } from "./layers.ts";
import { type FloorClock, RateFloor } from "./rate_floor.ts";

/** Asks where the blob is to be had; rejects when nowhere any more. */
export type AskPlace = (setback: BlobSetback | undefined) => Promise<BlobPlace>;

/** What of a {@link LayerSource} travels to the worker. */
export type WorkerSource =
  | { readonly kind: "http"; readonly stall: StallRule }
  | Extract<LayerSource, { kind: "file" }>;

const MAX_REDIRECTS = 5;
const FILE_CHUNK_BYTES = 1 << 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** What is fetched, and how. */
export interface BlobFetch {
  readonly source: WorkerSource;
  /** As the manifest says. A place may send more, which the caller counts. */
  readonly blobSize: bigint;
  readonly ask: AskPlace;
  readonly signal: AbortSignal;
  /** By which stalls are found; this thread's if not given. */
  readonly clock?: FloorClock;
}

/**
 * @throws whatever `ask` throws when it gives up
 * @throws {CancelledError} `signal` fired
 */
export function blobChunks(fetched: BlobFetch): AsyncIterable<Uint8Array> {
  const { source, signal } = fetched;
  switch (source.kind) {
    case "http":
      return download(fetched, source.stall);
    case "file":
      return filePart(source, signal);
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

async function* download(
  { blobSize, ask, signal, clock }: BlobFetch,
  stall: StallRule,
): AsyncGenerator<Uint8Array> {
  const seen: Seen = { bytes: 0n, url: "", etag: "" };
  let setback: BlobSetback | undefined;
  while (true) {
    const place = await ask(setback);
    try {
      using floor = new RateFloor(stall, clock);
      yield* fromPlace(place, seen, floor, signal);
      return;
    } catch (error) {
      if (signal.aborted) throw cancelled();
      if (!(error instanceof PlaceFailed)) throw error;
      // It broke behind the last byte: no place has a part that begins there.
      if (seen.bytes > 0n && seen.bytes === blobSize) return;
      setback = { failure: error.failure, receivedBytes: seen.bytes };
    }
  }
}

/** What is here already, and the version of it that its place stated. */
interface Seen {
  bytes: bigint;
  url: string;
  etag: string;
}

/** Not an error of the domain: it never leaves this module. */
class PlaceFailed extends Error {
  constructor(readonly failure: BlobFailure) {
    super(failure.kind);
  }
}

async function* fromPlace(
  place: BlobPlace,
  seen: Seen,
  floor: RateFloor,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const either = AbortSignal.any([signal, floor.signal]);
  let url = httpUrl(place.url);
  try {
    using transport = new HttpTransport(place.tls);
    const { response, from } = await opened(transport, place, seen, either, (next) => url = next);
    let skip = restOf(response, from, seen);
    const reader = response.body!.getReader();
    try {
      while (true) {
        floor.waiting();
        const { done, value } = await reader.read();
        // Unpacking may be slow: only waiting for the other side counts.
        floor.received(value?.length ?? 0);
        if (done) break;
        const fresh = skip === 0n ? value : value.subarray(Number(min(skip, value.length)));
        skip -= BigInt(value.length - fresh.length);
        if (fresh.length === 0) continue;
        seen.bytes += BigInt(fresh.length);
        yield fresh;
      }
    } finally {
      reader.cancel().catch(() => {
        // Already broken or at its end: nothing is left to give back.
      });
    }
  } catch (error) {
    if (error instanceof PlaceFailed || signal.aborted) throw error;
    throw new PlaceFailed(connectionFailure(error, url, floor));
  }
}

/** Follows redirects to an answer with a body. */
async function opened(
  transport: HttpTransport,
  place: BlobPlace,
  seen: Seen,
  signal: AbortSignal,
  visiting: (url: URL) => void,
): Promise<{ readonly response: Response; readonly from: URL }> {
  const first = httpUrl(place.url);
  let url = first;
  for (let redirects = 0;; redirects++) {
    visiting(url);
    const response = await transport.request(url, {
      headers: headersFor(place, first, url, seen),
      signal,
    });
    if ((response.status === 200 || response.status === 206) && response.body !== null) {
      return { response, from: url };
    }
    await response.body?.cancel();
    if (!REDIRECTS.has(response.status)) throw new PlaceFailed(statusFailure(response, url));
    if (redirects === MAX_REDIRECTS) {
      throw refused(first, `it redirects more than ${MAX_REDIRECTS} times`);
    }
    url = redirectTarget(response.headers.get("location"), url, place);
  }
}

/**
 * How many bytes of the answer are here already: none of a part that begins where we are, all that
 * we have of a whole blob.
 */
function restOf(response: Response, from: URL, seen: Seen): bigint {
  const etag = response.headers.get("etag") ?? "";
  const version = `${from.origin}${from.pathname}`;
  if (response.status === 200) {
    Object.assign(seen, { url: version, etag });
    return seen.bytes;
  }
  const range = /^bytes (\d{1,18})-\d{1,18}\/(?:\d{1,18}|\*)$/.exec(
    response.headers.get("content-range") ?? "",
  );
  if (range === null || BigInt(range[1]!) !== seen.bytes) {
    throw refused(from, `it sent another part than the one from byte ${seen.bytes} on`);
  }
  Object.assign(seen, { url: version, etag });
  return 0n;
}

/** Request headers are secrets of the first origin: no other host, port or scheme gets them. */
function headersFor(
  place: BlobPlace,
  first: URL,
  url: URL,
  seen: Seen,
): Record<string, string> {
  return {
    ...(url.origin === first.origin ? place.headers : {}),
    // Without it fetch asks for, and decodes, compressed transfers of what is already compressed.
    "accept-encoding": "identity",
    ...(seen.bytes === 0n ? {} : { range: `bytes=${seen.bytes}-` }),
    // A weak validator says nothing of bytes. Another place has validators of its own.
    ...(seen.bytes > 0n && seen.etag.startsWith('"') && seen.url === `${url.origin}${url.pathname}`
      ? { "if-range": seen.etag }
      : {}),
  };
}

function redirectTarget(location: string | null, from: URL, place: BlobPlace): URL {
  const target = location === null ? null : URL.parse(location, from);
  if (target === null || (target.protocol !== "http:" && target.protocol !== "https:")) {
    throw refused(
      from,
      `it redirects to ${shown(addressText(location ?? ""))}, which is no http address`,
    );
  }
  if (from.protocol === "https:" && target.protocol === "http:" && place.tls.verify) {
    throw refused(from, `it redirects from https to plain http on ${target.host}`);
  }
  return target;
}

function httpUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new InvalidArgumentError(
      `Cannot fetch the layer: ${shown(addressText(text))} is no http address`,
    );
  }
  return url;
}

function refused(url: URL, why: string): PlaceFailed {
  return new PlaceFailed({ kind: "unusable", host: url.host, why });
}

function statusFailure(response: Response, url: URL): BlobFailure {
  return {
    kind: "status",
    status: response.status,
    retryAfter: (response.headers.get("retry-after") ?? "").slice(0, 128),
    host: url.host,
  };
}

function connectionFailure(error: unknown, url: URL, floor: RateFloor): BlobFailure {
  if (floor.signal.aborted) {
    return { kind: "stalled", host: url.host, why: floor.reason };
  }
  return { kind: "broken", host: url.host, why: failureText(error) };
}

function min(a: bigint, b: number): bigint {
  return a < BigInt(b) ? a : BigInt(b);
}

function cancelled(): CancelledError {
  return new CancelledError("Fetching the layer was cancelled");
}
