/**
 * Name/value header blocks (SPDY/3, 2.6.10): a count and length-prefixed texts, compressed. All blocks
 * of one direction of a connection are one zlib stream, flushed after each.
 *
 * @module
 */
import { constants, inflateRawSync } from "node:zlib";
import { errorMessage, shown } from "../../errors/mod.ts";
import { DICTIONARY, DICTIONARY_ADLER32 } from "./dictionary.ts";
import { HEADER_BLOCK_LIMIT_BYTES, HEADERS_LIMIT } from "./limits.ts";
import { SpdyProtocolError, SpdyStreamError } from "./protocol_error.ts";

/** Names are lower-case. Of several values of a name only the first, which is what Kubernetes looks at. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** How far back a deflate stream refers. */
const WINDOW_BYTES = 32 * 1024;

/** An empty stored block: what a sync flush ends with. */
const FLUSH = [0x00, 0x00, 0x00, 0xff, 0xff] as const;

/**
 * Decompresses the blocks of one direction, in their order.
 *
 * Every block ends with a flush, at a byte's boundary, so each can be inflated on its own by putting
 * what came before it in front as a stored block. That is synchronous, holds no handle of zlib between
 * two frames, and its output has a limit.
 */
export class HeaderDecompressor {
  /** The end of what was decompressed; undefined before the first block. */
  #window: Uint8Array | undefined;

  /** @throws {SpdyProtocolError} not a part of such a stream, or too large */
  decompress(block: Uint8Array): Uint8Array {
    let body = block;
    if (this.#window === undefined) {
      const start = zlibStart(block);
      this.#window = start.dictionary;
      body = block.subarray(start.length);
    }
    if (!endsWithFlush(body)) {
      throw new SpdyProtocolError("The header block does not end with a sync flush");
    }
    const { length } = this.#window;
    const whole = inflate(withHistory(this.#window, body), length + HEADER_BLOCK_LIMIT_BYTES);
    this.#window = whole.subarray(Math.max(0, whole.length - WINDOW_BYTES));
    return whole.subarray(length);
  }
}

/** Checks the two or six bytes that a zlib stream begins with (RFC 1950). */
function zlibStart(block: Uint8Array): { length: number; dictionary: Uint8Array } {
  const [method, flags] = block;
  if (method === undefined || flags === undefined) {
    throw new SpdyProtocolError("The first header block has no zlib header");
  }
  if ((method & 0x0f) !== 8 || (method >> 4) > 7 || (method * 256 + flags) % 31 !== 0) {
    throw new SpdyProtocolError(
      `The first header block begins with ${hex(block.subarray(0, 2))}, which is no zlib header`,
    );
  }
  if ((flags & 0x20) === 0) return { length: 2, dictionary: new Uint8Array(0) };
  const named = block.subarray(2, 6);
  if (named.length < 4 || viewOf(named).getUint32(0) !== DICTIONARY_ADLER32) {
    throw new SpdyProtocolError(
      `The header blocks are compressed with the dictionary ${hex(named)}, not that of SPDY/3`,
    );
  }
  return { length: 6, dictionary: DICTIONARY };
}

function endsWithFlush(body: Uint8Array): boolean {
  // The first byte also holds the end of the block before, so only the others are always the same.
  const end = body.subarray(-4);
  return end.length === 4 && FLUSH.slice(1).every((byte, index) => end[index] === byte);
}

/** A deflate stream that gives `history`, then what `body` stands for. */
function withHistory(history: Uint8Array, body: Uint8Array): Uint8Array {
  const stream = new Uint8Array(STORED_HEADER_BYTES + history.length + body.length);
  writeStored(stream, 0, history);
  stream.set(body, STORED_HEADER_BYTES + history.length);
  return stream;
}

function inflate(stream: Uint8Array, maxOutputLength: number): Uint8Array {
  try {
    return inflateRawSync(stream, {
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength,
      // One piece for the history and all that a usual block holds: four times as fast as more.
      chunkSize: WINDOW_BYTES + 4096,
    });
  } catch (error) {
    throw new SpdyProtocolError(
      (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE"
        ? `The header block has more than ${HEADER_BLOCK_LIMIT_BYTES} bytes when decompressed`
        : `The header block cannot be decompressed: ${errorMessage(error)}`,
      { cause: error },
    );
  }
}

const STORED_HEADER_BYTES = 5;

/** Writes `bytes`, at most 65,535, as a stored block that is not the last. */
function writeStored(target: Uint8Array, at: number, bytes: Uint8Array): void {
  const view = viewOf(target);
  view.setUint8(at, 0);
  view.setUint16(at + 1, bytes.length, true);
  view.setUint16(at + 3, ~bytes.length & 0xffff, true);
  target.set(bytes, at + STORED_HEADER_BYTES);
}

/**
 * Encodes the blocks that we send. They are stored blocks of deflate and not compressed: all that a
 * server of Kubernetes sends is an empty list of four bytes, which needs no state to get shorter.
 */
export class HeaderEncoder {
  #begun = false;

  /** @param headers lower-case names; at most 65,535 bytes with their values */
  encode(headers: SpdyHeaders): Uint8Array {
    const plain = plainBlock(headers);
    const start = this.#begun ? 0 : ZLIB_START.length;
    const block = new Uint8Array(start + STORED_HEADER_BYTES + plain.length + FLUSH.length);
    if (!this.#begun) block.set(ZLIB_START);
    this.#begun = true;
    writeStored(block, start, plain);
    block.set(FLUSH, block.length - FLUSH.length);
    return block;
  }
}

/** Deflate with a window of 32 KiB, its lowest level, and the dictionary. */
const ZLIB_START = [0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2] as const;

function plainBlock(headers: SpdyHeaders): Uint8Array {
  const encoder = new TextEncoder();
  const texts = [...headers].flat().map((text) => encoder.encode(text));
  const block = new Uint8Array(4 + texts.reduce((sum, text) => sum + 4 + text.length, 0));
  const view = viewOf(block);
  view.setUint32(0, headers.size);
  let at = 4;
  for (const text of texts) {
    view.setUint32(at, text.length);
    block.set(text, at + 4);
    at += 4 + text.length;
  }
  return block;
}

/** @throws {SpdyStreamError} not a header block as the specification has it */
export function parseHeaderBlock(block: Uint8Array): SpdyHeaders {
  const reader = new BlockReader(block);
  const count = reader.number();
  if (count > HEADERS_LIMIT) {
    throw new SpdyStreamError(`The header block has ${count} headers, more than ${HEADERS_LIMIT}`);
  }
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index++) {
    const name = reader.text();
    if (name === "" || name !== name.toLowerCase()) {
      throw new SpdyStreamError(`A header is named ${shown(name)}, which is not a lower-case name`);
    }
    if (headers.has(name)) throw new SpdyStreamError(`The header ${shown(name)} is there twice`);
    // Several values of a name are separated by NUL.
    headers.set(name, reader.text().split("\0", 1)[0]!);
  }
  reader.end();
  return headers;
}

class BlockReader {
  readonly #block: Uint8Array;
  readonly #view: DataView;
  readonly #decoder = new TextDecoder();
  #at = 0;

  constructor(block: Uint8Array) {
    this.#block = block;
    this.#view = viewOf(block);
  }

  number(): number {
    if (this.#at + 4 > this.#block.length) throw this.#short();
    const number = this.#view.getUint32(this.#at);
    this.#at += 4;
    return number;
  }

  text(): string {
    const length = this.number();
    if (length > this.#block.length - this.#at) throw this.#short();
    const bytes = this.#block.subarray(this.#at, this.#at + length);
    this.#at += length;
    return this.#decoder.decode(bytes);
  }

  end(): void {
    const left = this.#block.length - this.#at;
    if (left > 0) throw new SpdyStreamError(`${left} bytes follow the headers in their block`);
  }

  #short(): SpdyStreamError {
    return new SpdyStreamError(`The header block ends at byte ${this.#block.length}, in a header`);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
