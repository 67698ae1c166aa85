import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { InvalidArgumentError } from "../errors/mod.ts";
import { decompressor } from "./decompression.ts";
import type { LayerCompression } from "./layers.ts";
import { concat } from "./testdata/tar_archive.ts";

async function decompress(
  compression: LayerCompression,
  blob: Uint8Array,
  chunk: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const decoder = decompressor(compression, (bytes) => void parts.push(bytes.slice()));
  try {
    for (let at = 0; at < blob.length; at += chunk) {
      await decoder.write(blob.subarray(at, at + chunk));
    }
    await decoder.end();
  } finally {
    decoder.destroy();
  }
  return concat(...parts);
}

const DATA = new Uint8Array(300_000).map((_, i) => (i * i) >> 7);
const HALVES = [DATA.subarray(0, 100_000), DATA.subarray(100_000)];
/** A frame that decoders skip: magic, size, 5 bytes. */
const SKIPPABLE = new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5]);

Deno.test("decompressor() joins members and frames, however the blob is cut", async () => {
  const gzip = concat(...HALVES.map((half) => gzipSync(half)));
  const zstd = concat(
    SKIPPABLE,
    ...HALVES.flatMap((half) => [zstdCompressSync(half), SKIPPABLE]),
  );
  for (const chunk of [97, 4096, 1 << 20]) {
    assert.deepEqual(await decompress("none", DATA, chunk), DATA);
    assert.deepEqual(await decompress("gzip", gzip, chunk), DATA);
    assert.deepEqual(await decompress("zstd", zstd, chunk), DATA);
  }
  assert.deepEqual(await decompress("zstd", concat(zstd.slice(0, 13)), 1), new Uint8Array());
});

Deno.test("decompressor() refuses cut, damaged and trailing data", async () => {
  const cases: [LayerCompression, Uint8Array][] = [];
  for (
    const [compression, blob] of [["gzip", gzipSync(DATA)], [
      "zstd",
      zstdCompressSync(DATA),
    ]] as const
  ) {
    cases.push(
      [compression, blob.subarray(0, -1)],
      [compression, blob.subarray(0, 1000)],
      [compression, blob.subarray(0, 3)],
      [compression, concat(blob, new Uint8Array([1]))],
      [compression, concat(blob, new Uint8Array(100))],
      [compression, concat(blob, new TextEncoder().encode("garbage"))],
      [compression, DATA],
    );
  }
  for (const [compression, blob] of cases) {
    for (const chunk of [1000, 1 << 20]) {
      await assert.rejects(
        decompress(compression, blob, chunk),
        InvalidArgumentError,
        `${compression} of ${blob.length} bytes`,
      );
    }
  }
});

Deno.test("decompressor() refuses a zstd frame that asks for a huge window", async () => {
  // Descriptor 0, window descriptor: exponent 31, so 2 TiB.
  const frame = new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0, 31 << 3, 1, 0, 0]);
  await assert.rejects(decompress("zstd", frame, 9), /asks for a window/);
});

Deno.test("decompressor() hands on what its sink throws and stops", async () => {
  for (const compression of ["none", "gzip", "zstd"] as const) {
    const blob = { none: DATA, gzip: gzipSync(DATA), zstd: zstdCompressSync(DATA) }[compression];
    let calls = 0;
    const decoder = decompressor(compression, () => {
      calls++;
      throw new RangeError("enough");
    });
    await assert.rejects(async () => {
      await decoder.write(blob);
      await decoder.end();
    }, /enough/);
    decoder.destroy();
    assert.equal(calls, 1);
  }
});
