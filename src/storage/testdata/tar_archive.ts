/**
 * Archives made by hand, well-formed or not, for tests: every field of every header can be forged.
 *
 * @module
 */
import { createHash } from "node:crypto";

export interface ArchiveEntry {
  readonly path: string;
  /** Type flag of the header; "0", a file, by default. */
  readonly type?: string;
  readonly content?: string | Uint8Array;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  /** Records of a PAX header before the entry. */
  readonly pax?: Readonly<Record<string, string | Uint8Array>>;
  /** Raw bytes over the finished header, by offset; the checksum is made afterwards. */
  readonly raw?: Readonly<Record<number, Uint8Array | string>>;
  /** Size field, if not that of the content. */
  readonly size?: number;
}

const encoder = new TextEncoder();

/** An archive of the entries with its end marker. */
export function archive(...entries: readonly ArchiveEntry[]): Uint8Array<ArrayBuffer> {
  return archiveOf(entries);
}

/** The same of any number of entries. */
export function archiveOf(entries: Iterable<ArchiveEntry>): Uint8Array<ArrayBuffer> {
  return joined([...[...entries].map(entryBytes), new Uint8Array(1024)]);
}

/** Header, PAX header before it, content and padding of one entry. */
export function entryBytes(entry: ArchiveEntry): Uint8Array<ArrayBuffer> {
  const content = bytesOf(entry.content ?? "");
  const body = concat(headerBytes(entry, content.length), padded(content));
  if (entry.pax === undefined) return body;
  return concat(entryBytes({ path: "PaxHeaders/x", type: "x", content: paxBody(entry.pax) }), body);
}

export function paxBody(records: Readonly<Record<string, string | Uint8Array>>): Uint8Array {
  return concat(
    ...Object.entries(records).map(([key, value]) => {
      const tail = concat(encoder.encode(` ${key}=`), bytesOf(value), encoder.encode("\n"));
      let length = tail.length + 1;
      while (String(length).length + tail.length > length) length++;
      return concat(encoder.encode(String(length)), tail);
    }),
  );
}

function headerBytes(entry: ArchiveEntry, size: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(512);
  const put = (at: number, text: string) => header.set(encoder.encode(text), at);
  const octal = (at: number, width: number, value: number) =>
    put(at, value.toString(8).padStart(width - 1, "0"));
  const path = encoder.encode(entry.path);
  header.set(path.subarray(0, 100));
  octal(100, 8, entry.mode ?? (entry.type === "5" ? 0o755 : 0o644));
  octal(108, 8, entry.uid ?? 0);
  octal(116, 8, entry.gid ?? 0);
  octal(124, 12, entry.size ?? size);
  octal(136, 12, entry.mtime ?? 1_600_000_000);
  put(156, entry.type ?? "0");
  header.set(encoder.encode(entry.link ?? "").subarray(0, 100), 157);
  put(257, "ustar\x0000");
  octal(329, 8, entry.major ?? 0);
  octal(337, 8, entry.minor ?? 0);
  for (const [at, bytes] of Object.entries(entry.raw ?? {})) header.set(bytesOf(bytes), Number(at));
  let sum = 8 * 0x20;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += header[i] ?? 0;
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return header;
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return joined(parts);
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function padded(bytes: Uint8Array): Uint8Array {
  return concat(bytes, new Uint8Array((512 - bytes.length % 512) % 512));
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === "string" ? encoder.encode(value) : value;
}
