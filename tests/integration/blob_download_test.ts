import assert from "node:assert/strict";
import { UnavailableError } from "../../src/errors/mod.ts";
import { type AskPlace, blobChunks } from "../../src/storage/blob_source.ts";
import { type BlobSetback, SYSTEM_TRUST } from "../../src/storage/mod.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { type Answer, type RecordedRequest, RecordingServer } from "../support/recording_server.ts";

const BLOB = new Uint8Array(300_000).map((_, i) => (i * 31) >> 3);
const NEVER_STALLS = { windowMs: 600_000, floorBytesPerSecond: 1 };
/** Short, but a connection that is only slow is asked again and gets there, too. */
const STALLS_SOON = { windowMs: 500, floorBytesPerSecond: 1 << 20 };

interface Downloaded {
  readonly bytes: Uint8Array;
  readonly setbacks: readonly BlobSetback[];
}

/** Asks the addresses in turn; gives up after the last. */
async function download(
  urls: readonly string[],
  { stall = NEVER_STALLS, clock, onChunk = () => {} }: {
    readonly stall?: typeof NEVER_STALLS;
    readonly clock?: ManualClock;
    readonly onChunk?: () => void;
  } = {},
): Promise<Downloaded> {
  const setbacks: BlobSetback[] = [];
  let at = 0;
  const ask: AskPlace = (setback) => {
    if (setback !== undefined) setbacks.push(setback);
    const url = urls[at++];
    if (url === undefined) {
      throw new UnavailableError(`gave up: ${JSON.stringify(setback?.failure)}`);
    }
    return Promise.resolve({ url, headers: { authorization: "secret" }, tls: SYSTEM_TRUST });
  };
  const parts: Uint8Array[] = [];
  const signal = new AbortController().signal;
  const chunks = blobChunks({
    source: { kind: "http", stall },
    blobSize: BigInt(BLOB.length),
    ask,
    signal,
    ...(clock === undefined ? {} : { clock }),
  });
  for await (const chunk of chunks) {
    parts.push(chunk.slice());
    onChunk();
  }
  return { bytes: new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()), setbacks };
}

/** Serves the blob, from where it is asked to. */
function whole({ headers }: RecordedRequest, more: Partial<Answer> = {}): Answer {
  const from = Number(/^bytes=(\d+)-$/.exec(headers.get("range") ?? "")?.[1] ?? 0);
  const etag = { etag: '"v1"' };
  return from === 0 ? { status: 200, headers: etag, body: BLOB, ...more } : {
    status: 206,
    headers: {
      ...etag,
      "content-range": `bytes ${from}-${BLOB.length - 1}/${BLOB.length}`,
    },
    body: BLOB.subarray(from),
    ...more,
  };
}

Deno.test("a download goes on behind a broken connection and fetches no byte twice", async () => {
  const cuts = [100_000, 50_000];
  await using server = new RecordingServer((request) => {
    const cutAfter = cuts.shift();
    return whole(request, cutAfter === undefined ? {} : { cutAfter });
  });
  const url = `http://${server.address}/blob`;
  const { bytes, setbacks } = await download([url, url, url]);
  assert.deepEqual(bytes, BLOB);
  assert.equal(server.bodyBytes, BLOB.length);
  assert.deepEqual(
    server.requests.map(({ headers }) => [headers.get("range"), headers.get("if-range")]),
    [[undefined, undefined], ["bytes=100000-", '"v1"'], ["bytes=150000-", '"v1"']],
  );
  assert.deepEqual(setbacks.map(({ failure, receivedBytes }) => [failure.kind, receivedBytes]), [
    ["broken", 100_000n],
    ["broken", 150_000n],
  ]);
});

Deno.test("a download goes on at another place, whose versions are its own", async () => {
  await using first = new RecordingServer((request) => whole(request, { cutAfter: 100_000 }));
  await using second = new RecordingServer((request) => whole(request));
  const { bytes } = await download([`http://${first.address}/a`, `http://${second.address}/b`]);
  assert.deepEqual(bytes, BLOB);
  assert.equal(first.bodyBytes + second.bodyBytes, BLOB.length);
  const [asked] = second.requests;
  assert.equal(asked?.headers.get("range"), "bytes=100000-");
  assert.equal(asked?.headers.get("if-range"), undefined);
});

Deno.test("a connection that breaks behind the last byte has given all, and no more is asked for", async () => {
  const headers = { "content-length": String(BLOB.length + 1) };
  await using server = new RecordingServer((request) =>
    request.headers.has("range") ? { status: 416 } : whole(request, { headers })
  );
  const url = `http://${server.address}/blob`;
  const { bytes, setbacks } = await download([url, url]);
  assert.deepEqual(bytes, BLOB);
  assert.equal(server.requests.length, 1);
  assert.deepEqual(setbacks, []);
});

Deno.test("a place that knows no ranges sends all again, and the bytes are right", async () => {
  let cut = true;
  await using server = new RecordingServer(() => {
    const answer = { status: 200, body: BLOB, ...(cut ? { cutAfter: 100_000 } : {}) };
    cut = false;
    return answer;
  });
  const url = `http://${server.address}/blob`;
  assert.deepEqual((await download([url, url])).bytes, BLOB);
});

Deno.test("a place that sends another part than the one asked for is left", async () => {
  await using first = new RecordingServer((request) => whole(request, { cutAfter: 1000 }));
  for (const range of ["bytes 999-299999/300000", "bytes 1001-299999/300000", "bytes */300000"]) {
    await using liar = new RecordingServer(() => ({
      status: 206,
      headers: { "content-range": range },
      body: BLOB.subarray(1000),
    }));
    await using last = new RecordingServer((request) => whole(request));
    const urls = [first, liar, last].map(({ address }) => `http://${address}/`);
    const { bytes, setbacks } = await download(urls);
    assert.deepEqual(bytes, BLOB);
    assert.deepEqual(setbacks.map(({ failure }) => failure.kind), ["broken", "unusable"]);
  }
});

Deno.test("a place that stands still is left, and the next one gives the rest", async () => {
  await using stuck = new RecordingServer((request) => whole(request, { hangAfter: 100_000 }));
  await using last = new RecordingServer((request) => whole(request));
  const { bytes, setbacks } = await download(
    [`http://${stuck.address}/`, ...Array(20).fill(`http://${last.address}/`)],
    { stall: STALLS_SOON },
  );
  assert.deepEqual(bytes, BLOB);
  assert.equal(setbacks[0]?.failure.kind, "stalled");
  assert.match((setbacks[0]!.failure as { why: string }).why, /bytes in 0\.5 s/);
  const { receivedBytes } = setbacks[0]!;
  assert.equal(
    last.requests[0]!.headers.get("range"),
    receivedBytes === 0n ? undefined : `bytes=${receivedBytes}-`,
  );
});

Deno.test("a place that never answers is left", async () => {
  const never = Promise.withResolvers<Answer>();
  await using stuck = new RecordingServer(() => never.promise);
  await using last = new RecordingServer((request) => whole(request));
  const { bytes, setbacks } = await download(
    [`http://${stuck.address}/`, ...Array(20).fill(`http://${last.address}/`)],
    { stall: STALLS_SOON },
  );
  assert.deepEqual(bytes, BLOB);
  assert.equal(setbacks[0]?.failure.kind, "stalled");
  never.resolve({ status: 500 });
});

Deno.test("time that the consumer takes does not count as a stall", async () => {
  await using server = new RecordingServer((request) => whole(request));
  const clock = new ManualClock();
  let chunks = 0;
  const { bytes, setbacks } = await download([`http://${server.address}/`], {
    clock,
    onChunk: () => {
      chunks++;
      clock.advance(10 * NEVER_STALLS.windowMs);
    },
  });
  assert.deepEqual(bytes, BLOB);
  assert.deepEqual(setbacks, []);
  assert(chunks > 0);
  assert.equal(clock.pending, 0);
});

Deno.test("statuses and refused connections are told with the host that gave them", async () => {
  await using server = new RecordingServer(() => ({
    status: 429,
    headers: { "retry-after": "7" },
  }));
  await assert.rejects(
    download([`http://${server.address}/`]),
    (error: Error) =>
      error.message.includes(`"status":429`) && error.message.includes(server.address) &&
      error.message.includes(`"retryAfter":"7"`),
  );
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(download([`http://127.0.0.1:${port}/`]), /broken.*[Cc]onnection refused/);
});
