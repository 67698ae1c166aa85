import assert from "node:assert/strict";
import { type Frame, FrameReader } from "./frame_reader.ts";
import { controlFrame, dataHeader, FLAG_FIN, FrameType } from "./frames.ts";
import { CONTROL_FRAME_LIMIT_BYTES } from "./limits.ts";
import { SpdyProtocolError } from "./protocol_error.ts";
import { GOLDEN, joined } from "./_test_client.ts";

const STREAM = joined(
  ...[GOLDEN.error, GOLDEN.stdin, GOLDEN.stdout, GOLDEN.data].map((hex) => Uint8Array.fromHex(hex)),
  dataHeader(3, 5, FLAG_FIN),
  new TextEncoder().encode("hello"),
  dataHeader(3, 0, FLAG_FIN),
  ...[GOLDEN.ping, GOLDEN.goAway].map((hex) => Uint8Array.fromHex(hex)),
);

const OPENED = { kind: "syn-stream", fin: false, unidirectional: false } as const;
const EXPECTED: readonly Frame[] = [
  { ...OPENED, streamId: 1, headers: new Map([["streamtype", "error"]]) },
  { ...OPENED, streamId: 3, headers: new Map([["streamtype", "stdin"]]) },
  { ...OPENED, streamId: 5, headers: new Map([["streamtype", "stdout"]]) },
  {
    ...OPENED,
    streamId: 7,
    fin: true,
    headers: new Map([["streamtype", "data"], ["port", "8080"], ["requestid", "0"]]),
  },
  { kind: "data", streamId: 3, bytes: new TextEncoder().encode("hello"), fin: true },
  { kind: "data", streamId: 3, bytes: new Uint8Array(0), fin: true },
  { kind: "ping", id: 1 },
  { kind: "go-away" },
];

Deno.test("FrameReader.frames() reads what client-go's library writes", () => {
  assert.deepEqual([...new FrameReader().frames(STREAM)], EXPECTED);
});

Deno.test("FrameReader.frames() reads the same from chunks of any size", () => {
  for (let size = 1; size < 60; size++) {
    const reader = new FrameReader();
    const frames: Frame[] = [];
    for (let at = 0; at < STREAM.length; at += size) {
      frames.push(...reader.frames(STREAM.subarray(at, at + size)));
    }
    // The pieces of data, put together again.
    const pieces = frames.filter((frame) => frame.kind === "data");
    assert.deepEqual(
      joined(...pieces.map(({ bytes }) => bytes)),
      new TextEncoder().encode("hello"),
    );
    assert.equal(pieces.findIndex(({ fin }) => fin), pieces.length - 2);
    assert.deepEqual(
      frames.filter(({ kind }) => kind !== "data"),
      EXPECTED.filter(({ kind }) => kind !== "data"),
    );
  }
});

Deno.test("FrameReader.frames() hands data on without copying or waiting for the rest", () => {
  const reader = new FrameReader();
  assert.deepEqual([...reader.frames(dataHeader(1, 0xff_ffff, 0))], []);
  const chunk = new Uint8Array(10);
  const [frame] = [...reader.frames(chunk)];
  assert.ok(frame?.kind === "data" && frame.bytes.buffer === chunk.buffer);
});

Deno.test("FrameReader.frames() skips frames of types that it does not know", () => {
  const unknown = controlFrame(0x7777, 0, 100_000);
  const frames = [...new FrameReader().frames(joined(unknown, Uint8Array.fromHex(GOLDEN.ping)))];
  assert.deepEqual(frames, [{ kind: "ignored" }, { kind: "ping", id: 1 }]);
});

Deno.test("FrameReader.frames() ends with an error at what breaks the protocol", () => {
  const version = controlFrame(FrameType.ping, 0, 4);
  version[1] = 2;
  const cases: readonly [Uint8Array, RegExp][] = [
    [version, /SPDY version 2/],
    [dataHeader(0, 1, 0), /stream 0/],
    [controlFrame(FrameType.ping, 0, 5), /type 6 has 5 bytes, not 4/],
    [controlFrame(FrameType.synStream, 0, 9), /type 1 has 9 bytes, not 10/],
    [controlFrame(FrameType.rstStream, 0, 8), /stream 0/],
    [
      controlFrame(FrameType.headers, 0, CONTROL_FRAME_LIMIT_BYTES + 1),
      /16385 bytes, more than 16384/,
    ],
    [Uint8Array.fromHex("800300020000000400000001"), /SYN_REPLY for stream 1/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(
      () => [...new FrameReader().frames(bytes)],
      (error) => error instanceof SpdyProtocolError && message.test(error.message),
      String(message),
    );
  }
});

Deno.test("FrameReader.frames() takes a control frame at the limit", () => {
  const frame = controlFrame(FrameType.settings, 0, CONTROL_FRAME_LIMIT_BYTES);
  assert.deepEqual([...new FrameReader().frames(frame)], [{ kind: "ignored" }]);
});
