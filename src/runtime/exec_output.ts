/**
 * An exec's output out of the monitor's log format, byte for byte, up to a limit.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";

/** `2026-11-23T22:10:46.123456789+00:00 stdout F ` and then the bytes; no header is longer than this. */
const HEADER_LIMIT_BYTES = 64;
const NEWLINE = 10;
const SPACE = 32;
const LETTER_P = 80;
const LETTER_T = 116;

type Stream = "stdout" | "stderr";

/**
 * Takes the log of one exec in pieces. Each line is a time, a stream, `F` or `P` and content; the
 * newline belongs to the content of an `F` line only (CRI log format).
 */
export class ExecOutput {
  readonly #limitBytes: number;
  readonly #kept = { stdout: new GrowingBytes(), stderr: new GrowingBytes() };
  #truncated = false;
  /** Header bytes of a line whose content has not begun. */
  readonly #header = new Uint8Array(HEADER_LIMIT_BYTES);
  #headerLength = 0;
  #headerSpaces = 0;
  /** Set while inside a line's content. */
  #line: { readonly stream: Stream; readonly partial: boolean } | undefined;

  /** @param limitBytes for both streams together; what is beyond it is dropped */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get truncated(): boolean {
    return this.#truncated;
  }

  /** The chunk is not kept; its memory may be reused. @throws {InternalError} it is no log */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      at = this.#line === undefined ? this.#takeHeader(chunk, at) : this.#takeContent(chunk, at);
    }
  }

  result(): { readonly stdout: Uint8Array; readonly stderr: Uint8Array } {
    return { stdout: this.#kept.stdout.bytes(), stderr: this.#kept.stderr.bytes() };
  }

  #takeHeader(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (this.#headerLength === HEADER_LIMIT_BYTES || byte === NEWLINE) {
        throw new InternalError("The monitor's output of an exec is not in the log format");
      }
      this.#header[this.#headerLength++] = byte;
      if (byte !== SPACE || ++this.#headerSpaces < 3) continue;
      // "... stdout F ": the tag stands before the space, the stream's last letter tells which it is.
      const partial = this.#header[this.#headerLength - 2] === LETTER_P;
      const stdout = this.#header[this.#headerLength - 4] === LETTER_T;
      this.#line = { stream: stdout ? "stdout" : "stderr", partial };
      this.#headerLength = 0;
      this.#headerSpaces = 0;
      return at + 1;
    }
    return chunk.length;
  }

  #takeContent(chunk: Uint8Array, from: number): number {
    const { stream, partial } = this.#line!;
    const newline = chunk.indexOf(NEWLINE, from);
    const next = newline < 0 ? chunk.length : newline + 1;
    if (newline >= 0) this.#line = undefined;
    this.#keep(stream, chunk, from, newline >= 0 && partial ? newline : next);
    return next;
  }

  #keep(stream: Stream, chunk: Uint8Array, from: number, to: number): void {
    const { stdout, stderr } = this.#kept;
    const room = this.#limitBytes - stdout.length - stderr.length;
    if (to - from > room) this.#truncated = true;
    if (room > 0) this.#kept[stream].append(chunk, from, Math.min(to, from + room));
  }
}

/** Bytes that grow at the end, doubling. */
class GrowingBytes {
  #buffer = new Uint8Array();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(chunk: Uint8Array, from: number, to: number): void {
    const needed = this.#length + to - from;
    if (needed > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2, 256));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    this.#buffer.set(chunk.subarray(from, to), this.#length);
    this.#length = needed;
  }

  /** A view of what was appended. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }
}
