/**
 * PAX extended headers (POSIX.1-2017, pax, "pax Extended Header"): `LENGTH KEY=VALUE\n` records.
 *
 * @module
 */
import { shown } from "../errors/mod.ts";
import {
  MAX_PAX_RECORDS,
  MAX_XATTR_NAME_BYTES,
  MAX_XATTR_VALUE_BYTES,
  MAX_XATTRS,
} from "./limits.ts";
import { malformed, textOf } from "./tar_fields.ts";

/** Records by key. Values stay bytes: those of extended attributes are binary. */
export type PaxRecords = Map<string, Uint8Array>;

/** Seconds since the epoch and nanoseconds below a second. */
export interface TarTime {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;

/**
 * Reads the records of one extended header; a later record replaces an earlier one of its key.
 *
 * @throws {InvalidArgumentError} a record is malformed, or there are too many
 */
export function parsePax(body: Uint8Array): PaxRecords {
  const records: PaxRecords = new Map();
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(SPACE, at);
    const length = space < 0 ? Number.NaN : decimalLength(body.subarray(at, space));
    const end = at + length;
    if (!(end <= body.length) || space + 1 >= end || body[end - 1] !== NEWLINE) {
      throw malformed("a record of a PAX header has a wrong length");
    }
    const equals = body.indexOf(EQUALS, space + 1);
    if (equals <= space + 1 || equals >= end) {
      throw malformed("a record of a PAX header has no key");
    }
    records.set(
      textOf(body.subarray(space + 1, equals), "PAX key"),
      // A copy: the body is a view of a chunk that will be used again.
      body.slice(equals + 1, end - 1),
    );
    if (records.size > MAX_PAX_RECORDS) {
      throw malformed(`a PAX header has more than ${MAX_PAX_RECORDS} records`);
    }
    at = end;
  }
  return records;
}

function decimalLength(digits: Uint8Array): number {
  if (digits.length === 0 || digits.length > 9) return Number.NaN;
  let value = 0;
  for (const byte of digits) {
    if (byte < 0x30 || byte > 0x39) return Number.NaN;
    value = value * 10 + (byte - 0x30);
  }
  return value;
}

/** A decimal integer of a record. @throws {InvalidArgumentError} it is none */
export function paxInteger(value: Uint8Array, key: string): bigint {
  const text = textOf(value, `PAX ${key}`);
  if (!/^-?\d{1,20}$/.test(text)) {
    throw malformed(`PAX ${key} ${shown(text)} is not an integer`, { field: key });
  }
  return BigInt(text);
}

/** A time of a record, `-12.345`; digits below a nanosecond are cut. */
export function paxTime(value: Uint8Array, key: string): TarTime {
  const text = textOf(value, `PAX ${key}`);
  const match = /^(-?)(\d{1,19})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw malformed(`PAX ${key} ${shown(text)} is not a time`, { field: key });
  const negative = match[1] === "-";
  const seconds = BigInt(match[2] ?? "0");
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (!negative) return { seconds, nanoseconds };
  // timespec wants 0 <= nanoseconds: -1.25 s is -2 s and 0.75 s.
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1n, nanoseconds: 1_000_000_000 - nanoseconds };
}

const SCHILY = "SCHILY.xattr.";
const LIBARCHIVE = "LIBARCHIVE.xattr.";

/**
 * Extended attributes among the records. `SCHILY.xattr.` holds the value as it is; `LIBARCHIVE.xattr.` has
 * a percent-encoded name and base64, and gives way to the former.
 */
export function paxXattrs(records: ReadonlyMap<string, Uint8Array>): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const [key, value] of records) {
    if (key.startsWith(LIBARCHIVE)) {
      const [name, decoded] = libarchiveXattr(key.slice(LIBARCHIVE.length), value);
      if (!records.has(SCHILY + name)) xattrs.set(name, decoded);
    } else if (key.startsWith(SCHILY)) {
      xattrs.set(key.slice(SCHILY.length), value);
    }
  }
  if (xattrs.size > MAX_XATTRS) {
    throw malformed(`an entry has more than ${MAX_XATTRS} extended attributes`);
  }
  for (const [name, value] of xattrs) {
    const bytes = new TextEncoder().encode(name).length;
    if (bytes === 0 || bytes > MAX_XATTR_NAME_BYTES) {
      throw malformed(`the extended attribute name ${shown(name)} is empty or too long`);
    }
    if (value.length > MAX_XATTR_VALUE_BYTES) {
      throw malformed(
        `the extended attribute ${
          shown(name)
        } has ${value.length} bytes, the limit is ${MAX_XATTR_VALUE_BYTES}`,
      );
    }
  }
  return xattrs;
}

function libarchiveXattr(encodedName: string, value: Uint8Array): [string, Uint8Array] {
  try {
    const name = decodeURIComponent(encodedName);
    if (name.includes("\0")) throw new RangeError("NUL");
    return [name, Uint8Array.fromBase64(textOf(value, "extended attribute"))];
  } catch (cause) {
    throw malformed(`the extended attribute ${shown(encodedName)} is not encoded as it should be`, {
      cause,
    });
  }
}
