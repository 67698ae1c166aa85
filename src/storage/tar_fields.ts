/**
 * Fields of a tar header block: text, octal and base-256 numbers, the checksum.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { decodePath } from "../sys/mod.ts";

export const BLOCK_BYTES = 512;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const NUL = 0x00;
const SPACE = 0x20;

/** Text of a field of bytes. @throws {InvalidArgumentError} it is not UTF-8, or holds a NUL */
export function textOf(bytes: Uint8Array, field: string): string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw malformed(`${field} is not UTF-8`, { field, cause });
  }
  if (text.includes("\0")) {
    throw malformed(`${field} ${shown(text)} holds a NUL character`, { field });
  }
  return text;
}

/** A field that ends at its first NUL or at its width. */
export function nulTerminated(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(NUL);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/**
 * A number as octal digits padded with spaces or NULs, or in base 256 with the high bit of the first byte set
 * (GNU; two's complement). An empty field is 0.
 */
export function numberOf(bytes: Uint8Array, field: string): bigint {
  const first = bytes[0] ?? NUL;
  return first >= 0x80 ? base256(bytes) : octal(bytes, field);
}

function base256(bytes: Uint8Array): bigint {
  const first = bytes[0] ?? 0;
  const negative = (first & 0x40) !== 0;
  // The marker bit is no part of the number: it is replaced by the sign.
  let value = BigInt(negative ? first | 0x80 : first & 0x7f);
  for (let i = 1; i < bytes.length; i++) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  return negative ? BigInt.asIntN(bytes.length * 8, value) : value;
}

function octal(bytes: Uint8Array, field: string): bigint {
  let start = 0;
  let end = bytes.length;
  while (start < end && (bytes[start] === SPACE || bytes[start] === NUL)) start++;
  while (end > start && (bytes[end - 1] === SPACE || bytes[end - 1] === NUL)) end--;
  // Twelve octal digits are 36 bits: exact as a number.
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) {
      throw malformed(`${field} is not an octal number`, { field });
    }
    value = value * 8 + digit;
  }
  return BigInt(value);
}

/** True if the stored checksum fits, summed as unsigned bytes or (old writers) as signed ones. */
export function checksumFits(block: Uint8Array): boolean {
  let unsigned = 0;
  let highBytes = 0;
  for (let i = 0; i < BLOCK_BYTES; i++) {
    const byte = i >= 148 && i < 156 ? SPACE : block[i] ?? 0;
    unsigned += byte;
    if (byte >= 0x80) highBytes++;
  }
  const stored = Number(octal(block.subarray(148, 156), "checksum"));
  return stored === unsigned || stored === unsigned - 256 * highBytes;
}

export function isZeroBlock(block: Uint8Array): boolean {
  for (let i = 0; i < block.length; i++) if (block[i] !== 0) return false;
  return true;
}

/**
 * A path or link target: any bytes but NUL, as file names are on Linux, kept without loss (see `sys/bytes_path.ts`).
 *
 * @throws {InvalidArgumentError} it holds a NUL, which would cut it short
 */
export function pathOf(bytes: Uint8Array, field: string): string {
  const path = decodePath(bytes);
  if (path.includes("\0")) {
    throw malformed(`${field} ${shown(path)} holds a NUL character`, { field });
  }
  return path;
}

export function malformed(
  why: string,
  details: { readonly field?: string; readonly path?: string; readonly cause?: unknown } = {},
): InvalidArgumentError {
  return new InvalidArgumentError(`Cannot read the archive: ${why}`, details);
}
