import assert from "node:assert/strict";
import { deflateRawSync } from "node:zlib";
import { DICTIONARY, DICTIONARY_ADLER32 } from "./dictionary.ts";
import { HeaderDecompressor, HeaderEncoder, parseHeaderBlock } from "./header_block.ts";
import { HEADER_BLOCK_LIMIT_BYTES } from "./limits.ts";
import { SpdyProtocolError, SpdyStreamError } from "./protocol_error.ts";
import { joined } from "./_test_client.ts";

const FLUSH = Uint8Array.of(0, 0, 0, 0xff, 0xff);

Deno.test("The dictionary has the checksum by which zlib streams name it", () => {
  let [a, b] = [1, 0];
  for (const byte of DICTIONARY) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  assert.equal(b * 65536 + a, DICTIONARY_ADLER32);
  assert.equal(DICTIONARY.length, 1423);
});

Deno.test("HeaderEncoder's blocks are read again, one after the other", () => {
  const encoder = new HeaderEncoder();
  const decompressor = new HeaderDecompressor();
  // Together more than the window of 32 KiB.
  for (let index = 0; index < 100; index++) {
    const headers = new Map([["streamtype", "data"], ["port", `${index}`], ["x", "y".repeat(999)]]);
    const read = parseHeaderBlock(decompressor.decompress(encoder.encode(headers)));
    assert.deepEqual(read, headers);
  }
});

Deno.test("HeaderDecompressor.decompress() takes a stream without the dictionary", () => {
  const block = joined(Uint8Array.of(0x78, 0x01, 0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0), FLUSH);
  assert.equal(parseHeaderBlock(new HeaderDecompressor().decompress(block)).size, 0);
});

Deno.test("HeaderDecompressor.decompress() stops a block that would become large", () => {
  const bomb = joined(
    Uint8Array.of(0x78, 0x01),
    zeros(HEADER_BLOCK_LIMIT_BYTES + 1),
  );
  assert.ok(bomb.length < 2000);
  assert.throws(
    () => new HeaderDecompressor().decompress(bomb),
    (error) => error instanceof SpdyProtocolError && /more than 65536 bytes/.test(error.message),
  );
  const fits = joined(Uint8Array.of(0x78, 0x01), zeros(HEADER_BLOCK_LIMIT_BYTES));
  assert.equal(new HeaderDecompressor().decompress(fits).length, HEADER_BLOCK_LIMIT_BYTES);
});

Deno.test("HeaderDecompressor.decompress() refuses what is no part of a zlib stream", () => {
  const cases: readonly [string, RegExp][] = [
    ["", /no zlib header/],
    ["7800000000ffff", /7800, which is no zlib header/],
    ["7820deadbeef000000ffff", /dictionary deadbeef/],
    ["78010001", /sync flush/],
    ["7801ffffff0000ffff", /cannot be decompressed/],
  ];
  for (const [digits, message] of cases) {
    assert.throws(
      () => new HeaderDecompressor().decompress(Uint8Array.fromHex(digits)),
      (error) => error instanceof SpdyProtocolError && message.test(error.message),
      digits,
    );
  }
});

Deno.test("parseHeaderBlock() keeps the first of several values", () => {
  assert.deepEqual(
    parseHeaderBlock(plain(["a", "1\x002"], ["b", ""])),
    new Map([["a", "1"], ["b", ""]]),
  );
});

Deno.test("parseHeaderBlock() refuses what the specification does not allow", () => {
  const cases: readonly [Uint8Array, RegExp][] = [
    [plain(["Streamtype", "x"]), /"Streamtype", which is not a lower-case name/],
    [plain(["", "x"]), /not a lower-case name/],
    [plain(["a", "x"], ["a", "y"]), /"a" is there twice/],
    [plain(["a", "x"]).subarray(0, 10), /ends at byte 10/],
    [joined(plain(), Uint8Array.of(1)), /1 bytes follow/],
    [Uint8Array.of(0xff, 0xff, 0xff, 0xff), /4294967295 headers, more than 64/],
    [Uint8Array.of(0, 0), /ends at byte 2/],
  ];
  for (const [block, message] of cases) {
    assert.throws(
      () => parseHeaderBlock(block),
      (error) => error instanceof SpdyStreamError && message.test(error.message),
      String(message),
    );
  }
});

/** The raw deflate stream of that many zeros, ending with a flush. */
function zeros(length: number): Uint8Array {
  // The stream's last block is marked as such; what a flush adds behind it is not looked at.
  return joined(deflateRawSync(new Uint8Array(length)), FLUSH);
}

function plain(...headers: readonly (readonly [string, string])[]): Uint8Array {
  const encoder = new TextEncoder();
  const number = (value: number) => Uint8Array.of(0, 0, value >> 8, value & 0xff);
  const texts = headers.flat().map((text) => encoder.encode(text));
  return joined(number(headers.length), ...texts.flatMap((text) => [number(text.length), text]));
}
