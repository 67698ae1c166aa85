/**
 * A streaming tar reader: chunks are pushed in, a visitor is told of entries and their content. Nothing
 * is buffered beyond one header block or one bounded extended header.
 *
 * Understood: V7, ustar (POSIX.1-1988), PAX with global headers (POSIX.1-2001), GNU long names and base-256
 * numbers, star's shorter prefix. Refused by name: sparse files, multi-volume archives, unknown entry
 * types, wrong checksums, data after the end marker. An archive without an end marker is complete
 * at a block boundary, as other readers have it: the digest of the stream tells a cut one.
 *
 * @module
 */
import { ResourceExhaustedError, shown } from "../errors/mod.ts";
import {
  MAX_EXTENDED_HEADER_BYTES,
  MAX_EXTENDED_HEADERS_PER_ENTRY,
  MAX_PATH_BYTES,
} from "./limits.ts";
import { parsePax, paxInteger, type PaxRecords, paxTime, paxXattrs, type TarTime } from "./pax.ts";
import {
  BLOCK_BYTES,
  checksumFits,
  isZeroBlock,
  malformed,
  nulTerminated,
  numberOf,
  pathOf,
} from "./tar_fields.ts";

export type TarEntryType =
  | "file"
  | "hardlink"
  | "symlink"
  | "char"
  | "block"
  | "directory"
  | "fifo";

export interface TarEntry {
  readonly type: TarEntryType;
  /** As written in the archive: may be absolute, hold `..`, or end with a slash. */
  readonly path: string;
  /** Of hard and symbolic links, else empty. */
  readonly linkTarget: string;
  /** Bytes of content that follow; 0 for everything but files. */
  readonly size: number;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TarTime;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** Told of an archive in its order: `entry`, then `content` any number of times, then `entryEnd`. */
export interface TarVisitor {
  entry(entry: TarEntry): void;
  /** Bytes valid during the call only. */
  content(bytes: Uint8Array): void;
  entryEnd(): void;
}

export interface TarReaderOptions {
  readonly visitor: TarVisitor;
  /** Header blocks at most, extended headers included. */
  readonly maxEntries: number;
}

type Extension = "x" | "g" | "L" | "K";

type State =
  | { readonly kind: "header" }
  | { readonly kind: "content"; left: number; padding: number }
  | {
    readonly kind: "extension";
    readonly type: Extension;
    readonly body: Uint8Array;
    filled: number;
    padding: number;
  }
  | { readonly kind: "padding"; left: number; readonly endsEntry: boolean }
  | { readonly kind: "firstZeroBlock" }
  | { readonly kind: "ended" };

const HEADER: State = { kind: "header" };
/** 0xffffffff means "leave as it is" to chown(2), so it is no owner. */
const MAX_OWNER = 0xffff_fffen;

export class TarReader {
  readonly #visitor: TarVisitor;
  readonly #maxEntries: number;
  readonly #block = new Uint8Array(BLOCK_BYTES);
  #blockFilled = 0;
  #state: State = HEADER;
  #headers = 0;
  readonly #global: PaxRecords = new Map();
  #local: PaxRecords = new Map();
  #extensionsInRow = 0;

  constructor(options: TarReaderOptions) {
    this.#visitor = options.visitor;
    this.#maxEntries = options.maxEntries;
  }

  /** Headers read so far. */
  get headers(): number {
    return this.#headers;
  }

  /**
   * Reads the next bytes of the stream and tells the visitor what they complete.
   *
   * @throws {InvalidArgumentError} the archive is malformed
   * @throws {ResourceExhaustedError} it has too many entries
   */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) at = this.#step(chunk, at);
  }

  /** Says that the stream is over. @throws {InvalidArgumentError} it ended within an entry */
  end(): void {
    const complete = this.#blockFilled === 0 && this.#extensionsInRow === 0 &&
      (this.#state.kind === "header" || this.#state.kind === "ended" ||
        this.#state.kind === "firstZeroBlock");
    if (!complete) throw malformed("it is cut off within an entry");
  }

  /** Consumes some bytes from `at` on; returns where to go on. */
  #step(chunk: Uint8Array, at: number): number {
    const state = this.#state;
    switch (state.kind) {
      case "content": {
        const end = Math.min(chunk.length, at + state.left);
        this.#visitor.content(chunk.subarray(at, end));
        state.left -= end - at;
        if (state.left === 0) this.#pad(state.padding, true);
        return end;
      }
      case "extension": {
        const end = Math.min(chunk.length, at + state.body.length - state.filled);
        state.body.set(chunk.subarray(at, end), state.filled);
        state.filled += end - at;
        if (state.filled === state.body.length) {
          this.#applyExtension(state.type, state.body);
          this.#pad(state.padding, false);
        }
        return end;
      }
      case "padding": {
        const end = Math.min(chunk.length, at + state.left);
        state.left -= end - at;
        if (state.left === 0) this.#pad(0, state.endsEntry);
        return end;
      }
      case "ended":
        if (!isZeroBlock(chunk.subarray(at))) throw malformed("data follows its end marker");
        return chunk.length;
      case "header":
      case "firstZeroBlock":
        return this.#fillBlock(chunk, at);
    }
  }

  #pad(padding: number, endsEntry: boolean): void {
    if (padding > 0) {
      this.#state = { kind: "padding", left: padding, endsEntry };
      return;
    }
    this.#state = HEADER;
    if (endsEntry) this.#visitor.entryEnd();
  }

  #fillBlock(chunk: Uint8Array, at: number): number {
    // Whole blocks are read in place; only those that chunks tear are put together.
    if (this.#blockFilled === 0 && chunk.length - at >= BLOCK_BYTES) {
      this.#readBlock(chunk.subarray(at, at + BLOCK_BYTES));
      return at + BLOCK_BYTES;
    }
    const end = Math.min(chunk.length, at + BLOCK_BYTES - this.#blockFilled);
    this.#block.set(chunk.subarray(at, end), this.#blockFilled);
    this.#blockFilled += end - at;
    if (this.#blockFilled === BLOCK_BYTES) {
      this.#blockFilled = 0;
      this.#readBlock(this.#block);
    }
    return end;
  }

  #readBlock(block: Uint8Array): void {
    if (block[0] === 0 && isZeroBlock(block)) {
      if (this.#extensionsInRow > 0) throw malformed("an extended header has no entry after it");
      this.#state = { kind: this.#state.kind === "firstZeroBlock" ? "ended" : "firstZeroBlock" };
      return;
    }
    if (this.#state.kind === "firstZeroBlock") throw malformed("its end marker is half one");
    if (!checksumFits(block)) throw malformed("the checksum of a header is wrong");
    this.#headers++;
    if (this.#headers > this.#maxEntries) {
      throw new ResourceExhaustedError(
        `Cannot unpack the archive: it has more than ${this.#maxEntries} entries`,
        { field: "entries", value: String(this.#maxEntries) },
      );
    }
    const type = String.fromCharCode(block[156] ?? 0);
    if (type === "x" || type === "g" || type === "L" || type === "K") {
      this.#beginExtension(type, block);
    } else this.#beginEntry(type, block);
  }

  #beginExtension(type: Extension, block: Uint8Array): void {
    const size = numberOf(block.subarray(124, 136), "size");
    if (size < 0n || size > BigInt(MAX_EXTENDED_HEADER_BYTES)) {
      throw malformed(
        `an extended header has ${size} bytes, the limit is ${MAX_EXTENDED_HEADER_BYTES}`,
        { field: "size" },
      );
    }
    if (type !== "g" && ++this.#extensionsInRow > MAX_EXTENDED_HEADERS_PER_ENTRY) {
      throw malformed(
        `more than ${MAX_EXTENDED_HEADERS_PER_ENTRY} extended headers describe one entry`,
      );
    }
    const bytes = Number(size);
    if (bytes === 0) {
      if (type === "L" || type === "K") throw malformed("a GNU long name is empty");
      this.#state = HEADER;
      return;
    }
    this.#state = {
      kind: "extension",
      type,
      body: new Uint8Array(bytes),
      filled: 0,
      padding: paddingOf(bytes),
    };
  }

  #applyExtension(type: Extension, body: Uint8Array): void {
    switch (type) {
      case "L":
        this.#local.set("path", nulTerminated(body));
        return;
      case "K":
        this.#local.set("linkpath", nulTerminated(body));
        return;
      case "g":
        for (const [key, value] of parsePax(body)) setOrClear(this.#global, key, value);
        return;
      case "x":
        for (const [key, value] of parsePax(body)) this.#local.set(key, value);
        return;
    }
  }

  #beginEntry(flag: string, block: Uint8Array): void {
    const records: PaxRecords = this.#global.size === 0 ? this.#local : new Map(this.#global);
    if (records !== this.#local) {
      for (const [key, value] of this.#local) records.set(key, value);
    }
    this.#local = new Map();
    this.#extensionsInRow = 0;
    const entry = entryOf(flag, block, records);
    this.#visitor.entry(entry);
    if (entry.size > 0) {
      this.#state = { kind: "content", left: entry.size, padding: paddingOf(entry.size) };
    } else {
      this.#state = HEADER;
      this.#visitor.entryEnd();
    }
  }
}

/** An empty value removes what an earlier global header said (POSIX pax). */
function setOrClear(records: PaxRecords, key: string, value: Uint8Array): void {
  if (value.length === 0) records.delete(key);
  else records.set(key, value);
}

function paddingOf(size: number): number {
  return (BLOCK_BYTES - size % BLOCK_BYTES) % BLOCK_BYTES;
}

function entryOf(flag: string, block: Uint8Array, records: PaxRecords): TarEntry {
  const path = textRecord(records, "path") ?? headerPath(block);
  const type = typeOf(flag, path);
  for (const key of records.keys()) {
    if (key.startsWith("GNU.sparse.")) throw sparse(path);
  }
  const linkTarget = type === "hardlink" || type === "symlink"
    ? textRecord(records, "linkpath") ??
      pathOf(nulTerminated(block.subarray(157, 257)), "link target")
    : "";
  if (linkTarget.length > MAX_PATH_BYTES) {
    throw malformed(`the link target of ${shown(path)} is longer than ${MAX_PATH_BYTES} bytes`);
  }
  const size = integer(records, "size", block, 124, 136);
  if (size < 0n || size > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw malformed(`the size ${size} of ${shown(path)} is impossible`, { field: "size" });
  }
  const device = type === "char" || type === "block";
  return {
    type,
    path,
    linkTarget,
    // Some writers give links and directories a size without content: it counts for files only.
    size: type === "file" ? Number(size) : 0,
    mode: Number(BigInt.asUintN(12, numberOf(block.subarray(100, 108), "mode"))),
    uid: owner(integer(records, "uid", block, 108, 116), "uid", path),
    gid: owner(integer(records, "gid", block, 116, 124), "gid", path),
    mtime: mtimeOf(records, block),
    deviceMajor: device ? deviceNumber(block.subarray(329, 337), "device major", 12n) : 0,
    deviceMinor: device ? deviceNumber(block.subarray(337, 345), "device minor", 20n) : 0,
    xattrs: records.size === 0 ? NO_XATTRS : paxXattrs(records),
  };
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

function typeOf(flag: string, path: string): TarEntryType {
  switch (flag) {
    case "0":
    case "\0":
    case "7":
      // V7 had no type for directories: a slash at the end says it.
      return path.endsWith("/") ? "directory" : "file";
    case "1":
      return "hardlink";
    case "2":
      return "symlink";
    case "3":
      return "char";
    case "4":
      return "block";
    case "5":
      return "directory";
    case "6":
      return "fifo";
    case "S":
      throw sparse(path);
    default:
      throw malformed(`${shown(path)} has the unknown entry type ${shown(flag)}`, { path });
  }
}

function sparse(path: string): Error {
  return malformed(`${shown(path)} is a sparse file, which layers must not hold`, { path });
}

function headerPath(block: Uint8Array): string {
  const name = pathOf(nulTerminated(block.subarray(0, 100)), "name");
  // GNU's magic is "ustar  \0" and its prefix field holds times.
  if (!startsWith(block, 257, "ustar\0")) return name;
  const star = startsWith(block, 508, "tar\0");
  const prefix = pathOf(nulTerminated(block.subarray(345, star ? 476 : 500)), "prefix");
  return prefix === "" ? name : `${prefix}/${name}`;
}

function startsWith(block: Uint8Array, at: number, ascii: string): boolean {
  for (let i = 0; i < ascii.length; i++) if (block[at + i] !== ascii.charCodeAt(i)) return false;
  return true;
}

function textRecord(records: PaxRecords, key: string): string | undefined {
  const value = records.get(key);
  if (value === undefined || value.length === 0) return undefined;
  if (value.length > MAX_PATH_BYTES + 1) {
    throw malformed(`a ${key} has ${value.length} bytes, the limit is ${MAX_PATH_BYTES}`, {
      field: key,
    });
  }
  return pathOf(value, key);
}

function integer(
  records: PaxRecords,
  key: "size" | "uid" | "gid",
  block: Uint8Array,
  start: number,
  end: number,
): bigint {
  const value = records.get(key);
  return value === undefined || value.length === 0
    ? numberOf(block.subarray(start, end), key)
    : paxInteger(value, key);
}

function owner(value: bigint, field: string, path: string): number {
  if (value < 0n || value > MAX_OWNER) {
    throw malformed(`the ${field} ${value} of ${shown(path)} is out of range`, { field, path });
  }
  return Number(value);
}

function deviceNumber(bytes: Uint8Array, field: string, bits: bigint): number {
  const value = numberOf(bytes, field);
  if (value < 0n || value >= 1n << bits) throw malformed(`the ${field} ${value} is out of range`);
  return Number(value);
}

function mtimeOf(records: PaxRecords, block: Uint8Array): TarTime {
  const value = records.get("mtime");
  const time = value === undefined || value.length === 0
    ? { seconds: numberOf(block.subarray(136, 148), "mtime"), nanoseconds: 0 }
    : paxTime(value, "mtime");
  if (BigInt.asIntN(64, time.seconds) !== time.seconds) {
    throw malformed(`the time ${time.seconds} is out of range`, { field: "mtime" });
  }
  return time;
}
