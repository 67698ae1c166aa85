import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { CloseCode, closeFrame, frame, FrameReader, Opcode, type Received } from "./frames.ts";

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));
const joined = (parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** Each event as text: data pieces are joined to messages. */
function read(...chunks: readonly Uint8Array[]): string[] {
  const reader = new FrameReader();
  const events: string[] = [];
  let message = "";
  for (const chunk of chunks) {
    for (const received of reader.read(chunk.slice())) {
      if (received.kind === "data") {
        if (received.first) message = "";
        message += new TextDecoder().decode(received.bytes);
        if (received.last) events.push(`message ${message}`);
      } else events.push(describe(received));
    }
  }
  return events;
}

function describe(received: Exclude<Received, { kind: "data" }>): string {
  return received.kind === "close"
    ? `close ${received.code}`
    : `${received.kind} ${new TextDecoder().decode(received.bytes)}`;
}

// RFC 6455, section 5.7.
const MASKED_HELLO = bytes("81 85 37 fa 21 3d 7f 9f 4d 51 58");
const MASKED_PING = bytes("89 85 37 fa 21 3d 7f 9f 4d 51 58");
const UNMASKED_HELLO = bytes("81 05 48 65 6c 6c 6f");

Deno.test("FrameReader reads the RFC's masked text message and ping, however they are cut", () => {
  assert.deepEqual(read(MASKED_HELLO, MASKED_PING), ["message Hello", "ping Hello"]);
  const both = new Uint8Array([...MASKED_HELLO, ...MASKED_PING]);
  for (let cut = 0; cut <= both.length; cut++) {
    assert.deepEqual(read(both.subarray(0, cut), both.subarray(cut)), [
      "message Hello",
      "ping Hello",
    ]);
  }
  assert.deepEqual(read(...Array.from(both, (byte) => Uint8Array.of(byte))), [
    "message Hello",
    "ping Hello",
  ]);
});

Deno.test("FrameReader joins fragments and hears a ping between them", () => {
  assert.deepEqual(
    read(
      bytes("01 83 00000000 48 65 6c"),
      bytes("89 80 00000000"),
      bytes("00 80 00000000"),
      bytes("80 82 00000000 6c 6f"),
      bytes("82 80 00000000"),
    ),
    ["ping ", "message Hello", "message "],
  );
});

Deno.test("FrameReader unmasks long frames wherever they lie in memory", () => {
  for (const length of [125, 126, 200, 65_535, 65_536, 70_001]) {
    for (const shift of [0, 1, 2, 3]) {
      const mask = [0x12, 0x34, 0x56, 0x78];
      const plain = Uint8Array.from({ length }, (_, index) => (index * 7) & 0x7f);
      const [header] = frame(Opcode.binary, plain) as [Uint8Array];
      const sent = [
        header[0]!,
        header[1]! | 0x80,
        ...header.subarray(2),
        ...mask,
        ...plain.map((byte, index) => byte ^ mask[index & 3]!),
      ];
      const buffer = new Uint8Array(sent.length + shift);
      buffer.set(sent, shift);
      const reader = new FrameReader();
      const received: number[] = [];
      for (const part of [buffer.subarray(shift, shift + 90), buffer.subarray(shift + 90)]) {
        for (const event of reader.read(part)) {
          assert.equal(event.kind, "data");
          if (event.kind === "data") { for (const byte of event.bytes) received.push(byte); }
        }
      }
      assert.deepEqual(Uint8Array.from(received), plain, `${length} bytes at ${shift}`);
    }
  }
});

Deno.test("FrameReader refuses what the protocol forbids, as soon as it is seen", () => {
  const wrong: readonly (readonly [string, string, number])[] = [
    ["not masked", Buffer.from(UNMASKED_HELLO).toString("hex"), 1002],
    ["reserved bit", "c1 80", 1002],
    ["unknown opcode", "83 80", 1002],
    ["unknown control opcode", "8b 80", 1002],
    ["fragmented ping", "09 80", 1002],
    ["long ping", "89 fe", 1002],
    ["continuation of nothing", "80 80", 1002],
    ["message in a message", "01 80 00000000 81 80", 1002],
    ["16-bit length that fits 7", "82 fe 007d 00000000", 1002],
    ["64-bit length that fits 16", "82 ff 000000000000ffff 00000000", 1002],
    ["length beyond all", "82 ff 8000000000000000 00000000", 1009],
    ["half a close code", "88 81 00000000 03", 1002],
    ["close code that is never sent", "88 82 00000000 03ed", 1002],
    ["close reason that is no UTF-8", "88 83 00000000 03e8 ff", 1007],
    ["text that is no UTF-8", "81 82 00000000 61 ff", 1007],
    ["text that ends within a character", "81 81 00000000 c3", 1007],
    ["fragment that is no UTF-8", "01 81 00000000 61 00 82 00000000 c3 28", 1007],
  ];
  for (const [name, hex, code] of wrong) {
    assert.throws(() => read(bytes(hex)), { name: "WebSocketProtocolError", code }, name);
  }
});

Deno.test("FrameReader takes text whose characters are cut anywhere, and any bytes that are no text", () => {
  const text = "\ufeffé€😀";
  const utf8 = new TextEncoder().encode(text);
  const frames = Array.from(utf8, (byte, index) => {
    const opcode = index === 0 ? 0x01 : index === utf8.length - 1 ? 0x80 : 0x00;
    return Uint8Array.of(opcode, 0x81, 0, 0, 0, 0, byte);
  });
  const reader = new FrameReader();
  const received = frames.flatMap((each) => [...reader.read(each)]);
  const pieces = received.flatMap((each) => each.kind === "data" ? [...each.bytes] : []);
  assert.deepEqual(Uint8Array.from(pieces), utf8);
  assert.deepEqual(read(bytes("82 81 00000000 ff")), ["message \ufffd"]);
  assert.deepEqual(
    read(bytes("81 81 00000000 61"), bytes("02 81 00000000 ff 80 80 00000000")),
    ["message a", "message \ufffd"],
  );
});

Deno.test("FrameReader reads a close with and without code, and nothing behind it", () => {
  assert.deepEqual(read(bytes("88 80 00000000"), MASKED_HELLO), ["close undefined"]);
  assert.deepEqual(read(bytes("88 82 00000000 03e8 c1 00")), ["close 1000"]);
});

Deno.test("frame writes the RFC's examples and takes the shortest length", () => {
  const text = new TextEncoder().encode("Hello");
  const written = (...parts: Parameters<typeof frame>) => joined(frame(...parts));
  assert.deepEqual(written(Opcode.text, text), UNMASKED_HELLO);
  assert.deepEqual(written(Opcode.ping, text), bytes("89 05 48 65 6c 6c 6f"));
  assert.deepEqual(
    written(Opcode.binary, Uint8Array.of(1), text),
    bytes("82 06 01 48 65 6c 6c 6f"),
  );
  assert.deepEqual(frame(Opcode.binary, new Uint8Array(256))[0], bytes("82 7e 01 00"));
  assert.deepEqual(
    frame(Opcode.binary, new Uint8Array(65_536))[0],
    bytes("82 7f 00 00 00 00 00 01 00 00"),
  );
});

Deno.test("closeFrame cuts a long reason at a character", () => {
  assert.deepEqual(joined(closeFrame(CloseCode.normal, "")), bytes("88 02 03 e8"));
  const long = joined(closeFrame(CloseCode.protocolError, "é".repeat(100)));
  assert.equal(long.length, 2 + 2 + 122);
  assert.equal(new TextDecoder("utf-8", { fatal: true }).decode(long.subarray(4)).length, 61);
});
