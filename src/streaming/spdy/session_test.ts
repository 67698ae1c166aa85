import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { UnavailableError } from "../../errors/mod.ts";
import {
  dataHeader,
  FLAG_FIN,
  FLAG_UNIDIRECTIONAL,
  pingFrame,
  ResetStatus,
  rstStreamFrame,
} from "./frames.ts";
import { STREAM_BUFFER_BYTES, STREAMS_LIMIT } from "./limits.ts";
import { SpdySession } from "./session.ts";
import type { SpdyStream } from "./stream.ts";
import { GOLDEN, joined, TestClient } from "./_test_client.ts";

/** SYN_REPLY without headers, the first one of a connection with the start of the zlib stream. */
const FIRST_REPLY_TO_1 = "8003000200000018000000017820e3c6a7c2000400fbff00000000000000ffff";
const GO_AWAY_OK_AFTER_1 = "80030007000000080000000100000000";
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("SpdySession yields the streams that client-go opens, and answers them", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.send(Uint8Array.fromHex(GOLDEN.error + GOLDEN.stdin), Uint8Array.fromHex(GOLDEN.ping));
  const [error, stdin] = await opened(session, 2);
  assert.deepEqual([error!.headers.get("streamtype"), stdin!.headers.get("streamtype")], [
    "error",
    "stdin",
  ]);
  await client.hears(GOLDEN.ping);
  error!.accept();
  stdin!.accept();
  await error!.sink.write(new TextEncoder().encode("no"));
  await error!.sink.end();
  await client.hears(
    FIRST_REPLY_TO_1 + "80030002000000120000000300" + "0400fbff00000000000000ffff" +
      "00000001000000026e6f" + "0000000101000000",
  );
});

Deno.test("SpdySession: each side of a stream ends by itself", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  stream!.accept();
  client.data(1, "in", FLAG_FIN);
  assert.equal(await allOf(stream!), "in");
  await stream!.sink.write(new TextEncoder().encode("out"));
  await client.hears("00000001000000036f7574");
  await stream!.sink.end();
  await stream!.sink.end();
  await assert.rejects(stream!.sink.write(new Uint8Array(1)), /it is ended/);
});

Deno.test("SpdySession: a large write leaves in several frames", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  stream!.accept();
  const bytes = crypto.getRandomValues(new Uint8Array(65_536)).map((byte) => byte | 1);
  await stream!.sink.write(joined(bytes, bytes, Uint8Array.of(7)));
  const half = bytes.toHex();
  await client.hears(`0000000100010000${half}0000000100010000${half}000000010000000107`);
});

Deno.test("SpdySession: a write resolves when the connection takes more", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  stream!.accept();
  await client.hears(FIRST_REPLY_TO_1);
  const goOn = client.stall();
  let written = false;
  const writing = stream!.sink.write(new Uint8Array(10)).then(() => written = true);
  await turns();
  assert.equal(written, false);
  goOn();
  await writing;
});

Deno.test("SpdySession: a stream that is not read stops the connection until it is", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  client.open(3);
  const [slow, other] = await opened(session, 2);
  const chunk = new Uint8Array(16 * 1024);
  const chunks = STREAM_BUFFER_BYTES / chunk.length * 4;
  for (let index = 0; index < chunks; index++) client.data(1, chunk);
  client.data(3, "behind", FLAG_FIN);
  client.data(1, "", FLAG_FIN);
  await turns();
  assert.ok(client.read * chunk.length < STREAM_BUFFER_BYTES * 1.5, `${client.read} chunks read`);
  let got = 0;
  for await (const bytes of slow!.source) got += bytes.length;
  assert.equal(got, chunks * chunk.length);
  assert.equal(await allOf(other!), "behind");
});

Deno.test("SpdySession: what is read lies in memory that comes and goes, and no byte is lost", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  client.open(3);
  const [quick, slow] = await opened(session, 2);
  const read = async (stream: SpdyStream, pause: () => Promise<void>) => {
    let all = "";
    for await (const bytes of stream.source) {
      await pause();
      all += text(bytes);
    }
    return all;
  };
  const reading = Promise.all([
    read(quick!, () => Promise.resolve()),
    // Longer than a session waits for its readers.
    read(slow!, () => new Promise((resolve) => setTimeout(resolve, 12))),
  ]);
  const said = ["", ""];
  for (let round = 0; round < 30; round++) {
    const frames = [1, 3, 1].map((streamId, index) => {
      const words = `${round}.${index} `.repeat(index === 2 ? 3 : 300);
      said[streamId === 1 ? 0 : 1] += words;
      return joined(dataHeader(streamId, words.length, 0), new TextEncoder().encode(words));
    });
    client.send(joined(...frames));
    if (round % 3 === 0) await turns();
  }
  client.data(1, "", FLAG_FIN);
  client.data(3, "", FLAG_FIN);
  assert.deepEqual(await reading, said);
});

Deno.test("SpdySession: streams that fail behind their ends hold nothing", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  for (let streamId = 1; streamId < 20; streamId += 2) {
    client.open(streamId);
    const [stream] = await opened(session, 1);
    client.data(streamId, new Uint8Array(STREAM_BUFFER_BYTES / 2), FLAG_FIN);
    await turns();
    stream!.reset();
    assert.equal(session.full, false, `after stream ${streamId}`);
  }
});

for (const [what, frame] of [["PINGs", pingFrame(1)], ["single bytes", oneByte(1)]] as const) {
  Deno.test(`SpdySession: a flood of ${what} lets others have their turn`, async () => {
    const client = new TestClient();
    await using session = new SpdySession(client.connection);
    client.open(1);
    const [stream] = await opened(session, 1);
    stream!.dropInput();
    const flood = joined(...Array<Uint8Array>(5_000).fill(frame));
    client.send(flood);
    const turns = countTurns();
    client.data(1, "", FLAG_FIN);
    client.open(3, { behind: "it" });
    await opened(session, 1);
    assert.ok(turns.stop() >= 5_000 / 256 - 2, "nobody else had a turn");
  });
}

Deno.test("SpdySession: many small pieces stop the connection as few large ones do", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  for (let index = 0; index < 10_000; index++) client.data(1, "x");
  await turns();
  assert.ok(client.read < 1_100, `${client.read} pieces of a byte are held`);
  stream!.dropInput();
});

Deno.test("SpdySession: streams that are opened and reset at once do not pile up before a slow reader", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  for (let index = 0; index <= STREAMS_LIMIT; index++) {
    client.open(2 * index + 1);
    client.send(rstStreamFrame(2 * index + 1, ResetStatus.cancel));
  }
  // The last is refused: nobody has looked at those before it.
  await client.hears(rstStreamFrame(2 * STREAMS_LIMIT + 1, ResetStatus.refusedStream).toHex());
  await opened(session, STREAMS_LIMIT);
  client.open(2 * STREAMS_LIMIT + 3, { late: "yes" });
  const [late] = await opened(session, 1);
  assert.equal(late!.headers.get("late"), "yes");
});

Deno.test("SpdySession: what is no longer wanted does not stop the connection", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  client.data(1, "first");
  for await (const bytes of stream!.source) {
    assert.equal(text(bytes), "first");
    break;
  }
  for (let index = 0; index < 100; index++) client.data(1, new Uint8Array(64 * 1024));
  client.send(pingFrame(5));
  await client.hears(pingFrame(5).toHex());
});

Deno.test("SpdySession asks a client that it does not read for a sign of life", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection, { probeIntervalMs: 1 });
  client.open(1);
  const [stream] = await opened(session, 1);
  client.data(1, new Uint8Array(STREAM_BUFFER_BYTES));
  await client.hears(pingFrame(2).toHex());
  client.connection.destroy();
  await aborted(session);
  await assert.rejects(allOf(stream!), UnavailableError);
});

Deno.test("SpdySession: a reset by the client ends both sides of one stream", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  client.open(3);
  const [gone, other] = await opened(session, 2);
  gone!.accept();
  client.data(1, "dropped");
  client.send(rstStreamFrame(1, 5));
  client.data(1, "late");
  client.data(3, "whole", FLAG_FIN);
  assert.equal(await allOf(other!), "whole");
  await assert.rejects(allOf(gone!), /client has reset the stream \(status 5\)/);
  await assert.rejects(gone!.sink.write(new Uint8Array(1)), UnavailableError);
  await gone!.sink.end();
});

Deno.test("SpdySession: a reset behind the client's end is told, which the source cannot say any more", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  stream!.accept();
  client.data(1, "all", FLAG_FIN);
  assert.equal(await allOf(stream!), "all");
  assert.equal(stream!.lost.aborted, false);
  client.send(rstStreamFrame(1, ResetStatus.cancel));
  await turns();
  assert.match(stream!.lost.reason.message, /has reset the stream/);
  await assert.rejects(stream!.sink.write(new Uint8Array(1)), /has reset the stream/);
});

Deno.test("SpdySession: reset() refuses a stream before it is accepted and cancels it later", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  client.open(3);
  const [first, second] = await opened(session, 2);
  first!.reset();
  first!.reset();
  second!.accept();
  second!.reset();
  await client.hears(rstStreamFrame(1, 3).toHex());
  await client.hears(rstStreamFrame(3, 5).toHex());
  assert.equal(client.got.split(rstStreamFrame(1, 3).toHex()).length, 2);
});

Deno.test("SpdySession resets a stream that is not as it should be, and goes on", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1, { Upper: "case" });
  await client.hears(rstStreamFrame(1, 1).toHex());
  client.open(3, {}, FLAG_UNIDIRECTIONAL);
  await client.hears(rstStreamFrame(3, 3).toHex());
  client.open(5, {}, FLAG_FIN);
  client.data(5, "after the end");
  await client.hears(rstStreamFrame(5, 9).toHex());
  assert.equal(session.signal.aborted, false);
});

Deno.test("SpdySession refuses one stream more than it takes", async () => {
  const client = new TestClient();
  await using _session = new SpdySession(client.connection);
  for (let index = 0; index <= STREAMS_LIMIT; index++) client.open(2 * index + 1);
  await client.hears(rstStreamFrame(2 * STREAMS_LIMIT + 1, 3).toHex());
  assert.equal(client.got.length / 2, 16);
});

Deno.test("SpdySession ends a connection that breaks the protocol, with GOAWAY", async () => {
  const cases: readonly [string, (client: TestClient) => void, RegExp][] = [
    ["an even number", (client) => client.open(2), /stream 2 after 0/],
    ["a number twice", (client) => (client.open(1), client.open(1)), /stream 1 after 1/],
    ["data without a stream", (client) => client.data(9, "x"), /stream 9, which was never opened/],
    ["another protocol", (client) => client.send(new TextEncoder().encode("GET / HTTP")), /stream/],
  ];
  for (const [name, act, message] of cases) {
    const client = new TestClient();
    await using session = new SpdySession(client.connection);
    act(client);
    await aborted(session);
    assert.match((session.signal.reason as Error).message, message, name);
    await session.close();
    assert.match(client.got, /80030007000000080000000[01]00000001$/, name);
    assert.ok(client.ended && client.destroyed, name);
  }
});

Deno.test("SpdySession.close() sends what was written, then GOAWAY", async () => {
  const client = new TestClient();
  const session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  stream!.accept();
  void stream!.sink.write(new TextEncoder().encode("last"));
  await session.close(new Error("idle for too long"));
  assert.ok(client.got.endsWith(`00000001000000046c617374${GO_AWAY_OK_AFTER_1}`), client.got);
  assert.equal((session.signal.reason as Error).message, "idle for too long");
  await assert.rejects(allOf(stream!), /idle for too long/);
  assert.ok(client.destroyed);
});

Deno.test("SpdySession.close() does not wait for ever for a client that does not read", async () => {
  const client = new TestClient();
  const session = new SpdySession(client.connection, { lingerMs: 1 });
  const goOn = client.stall();
  await session.close();
  assert.ok(client.destroyed);
  goOn();
});

Deno.test("SpdySession ends when the client leaves, in whatever way", async () => {
  const ways: readonly [(client: TestClient) => void, RegExp][] = [
    [(client) => client.leave(), /closed the connection/],
    [(client) => client.leave(new Error("ECONNRESET")), /gone: ECONNRESET/],
  ];
  for (const [leave, message] of ways) {
    const client = new TestClient();
    await using session = new SpdySession(client.connection);
    client.open(1);
    const [stream] = await opened(session, 1);
    leave(client);
    await assert.rejects(allOf(stream!), message);
    assert.match((session.signal.reason as Error).message, message);
    assert.deepEqual(await opened(session, 1), []);
  }
});

Deno.test("SpdySession waits for the open streams of a client that has said GOAWAY", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  stream!.accept();
  client.send(Uint8Array.fromHex(GOLDEN.goAway));
  client.open(3);
  client.data(1, "rest", FLAG_FIN);
  assert.equal(await allOf(stream!), "rest");
  assert.equal(session.signal.aborted, false);
  await stream!.sink.end();
  await aborted(session);
});

Deno.test("SpdySession stops reading a client that takes no answers", async () => {
  const client = new TestClient();
  await using _session = new SpdySession(client.connection);
  const goOn = client.stall();
  const pings = joined(...Array.from({ length: 1000 }, () => pingFrame(1)));
  for (let index = 0; index < 1000; index++) client.send(pings);
  await turns();
  assert.ok(client.read < 20, `${client.read} of 1000 chunks were read`);
  goOn();
});

Deno.test("SpdySession tells of activity in both directions", async () => {
  const client = new TestClient();
  let times = 0;
  await using session = new SpdySession(client.connection, { onActivity: () => times++ });
  client.open(1);
  const [stream] = await opened(session, 1);
  assert.equal(times, 1);
  stream!.accept();
  await stream!.sink.write(new Uint8Array(1));
  assert.equal(times, 3);
});

Deno.test("SpdySession: nothing can be written before a stream is accepted", async () => {
  const client = new TestClient();
  await using session = new SpdySession(client.connection);
  client.open(1);
  const [stream] = await opened(session, 1);
  await assert.rejects(stream!.sink.write(new Uint8Array(1)), /not accepted yet/);
  assert.equal(client.got.includes(dataHeader(1, 1, 0).toHex()), false);
});

/** The next streams, fewer if the session ends. */
async function opened(session: SpdySession, count: number): Promise<SpdyStream[]> {
  const streams: SpdyStream[] = [];
  const iterator = session.streams[Symbol.asyncIterator]();
  while (streams.length < count) {
    const { done, value } = await iterator.next();
    if (done) break;
    streams.push(value);
  }
  return streams;
}

async function allOf(stream: SpdyStream): Promise<string> {
  let all = "";
  for await (const bytes of stream.source) all += text(bytes);
  return all;
}

function aborted({ signal }: SpdySession): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}

function oneByte(streamId: number): Uint8Array {
  return joined(dataHeader(streamId, 1, 0), Uint8Array.of(0x78));
}

/** How many turns of the event loop pass until it is stopped. */
function countTurns(): { stop(): number } {
  let count = 0;
  let stopped = false;
  const tick = () => {
    count++;
    if (!stopped) setImmediate(tick);
  };
  setImmediate(tick);
  return {
    stop: () => {
      stopped = true;
      return count;
    },
  };
}

/** Long enough for everything that needs no more than the event loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve));
}
