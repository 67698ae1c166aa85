/**
 * File names as strings without loss. Linux names are bytes; most are UTF-8, but an image may hold
 * any. A byte that is not part of valid UTF-8 becomes the lone surrogate U+DC00 + byte, which no valid
 * text contains, and turns back into that byte.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The string for bytes of a file name or link target. Inverse of {@link encodePath}. */
export function decodePath(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    return decodeMixed(bytes);
  }
}

/** The bytes of a path string, without a closing NUL. */
export function encodePath(path: string): Uint8Array<ArrayBuffer> {
  return path.isWellFormed() ? encoder.encode(path) : encodeMixed(path);
}

/**
 * The bytes of a path string with a closing NUL, as libc wants them.
 *
 * @throws {InvalidArgumentError} a NUL inside, which would cut the path short
 */
export function cPath(path: string): Uint8Array<ArrayBuffer> {
  if (path.includes("\0")) {
    throw new InvalidArgumentError(`Path ${shown(path)} contains a NUL byte`, { value: path });
  }
  return encodePath(`${path}\0`);
}

function decodeMixed(bytes: Uint8Array): string {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) {
      text += String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
      at++;
    } else {
      text += strict.decode(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return text;
}

/** Length of the valid UTF-8 sequence at an offset; 0 if there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  try {
    strict.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}

function encodeMixed(path: string): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(path.length * 3);
  let length = 0;
  for (const character of path) {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xdc80 && code <= 0xdcff) out[length++] = code - 0xdc00;
    else length += encoder.encodeInto(character, out.subarray(length)).written;
  }
  return out.slice(0, length);
}
