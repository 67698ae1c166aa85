/**
 * The record files of one kind: `<directory>/<id>/record.json`, written whole or not at all.
 *
 * @module
 */
import { errorMessage, InternalError } from "../errors/mod.ts";
import { checkRecordId, decodeRecord, encodeRecord, isRecordId } from "./record_file.ts";
import type { StoredRecord } from "./record_file.ts";

export interface RecordFilesOptions {
  /** Holds one directory an id, such as `<root>/pods`. */
  readonly directory: string;
  /** Noted in each file: `sandbox`, `container`, `layer`, `image`. */
  readonly kind: string;
  /**
   * True: a written file survives a power cut (file and directory are synced before write returns).
   * False: it survives the death of the process; after a power cut it is whole, or the one before, or
   * found damaged by its checksum.
   */
  readonly durable: boolean;
  /** A larger file is taken for damaged; 16 MiB by default. */
  readonly limitBytes?: number;
}

/** What a scan finds for each directory that has, or should have, a record. */
export type ScannedRecord =
  | { readonly kind: "record"; readonly record: StoredRecord }
  /** Renamed to `setAside`, so that it never stands in the way again. */
  | {
    readonly kind: "damaged";
    readonly id: string;
    readonly reason: string;
    readonly setAside: string;
  }
  /** Left as it is: written by a newer program, or not readable now. */
  | { readonly kind: "skipped"; readonly id: string; readonly error: unknown };

const FILE = "record.json";
const LIMIT_BYTES = 16 << 20;

export class RecordFiles {
  readonly #options: RecordFilesOptions;
  #lastTemporary = 0;

  constructor(options: RecordFilesOptions) {
    this.#options = options;
  }

  get kind(): string {
    return this.#options.kind;
  }

  /** Absolute path of the record file of an id. @throws {InvalidArgumentError} not a file name */
  path(id: string): string {
    checkRecordId(id);
    return `${this.#options.directory}/${id}/${FILE}`;
  }

  /** Replaces the record of an id atomically; makes its directory, mode 0700, if it is missing. */
  async write(record: StoredRecord): Promise<void> {
    const { kind, durable, limitBytes = LIMIT_BYTES } = this.#options;
    const path = this.path(record.id);
    const bytes = new TextEncoder().encode(encodeRecord(kind, record));
    if (bytes.length > limitBytes) {
      throw new InternalError(`The record of ${kind} ${record.id} is over ${limitBytes} bytes`);
    }
    const directory = path.slice(0, -FILE.length - 1);
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    const temporary = `${directory}/.${FILE}.${Deno.pid}.${++this.#lastTemporary}`;
    try {
      await writeFile(temporary, bytes, durable);
      await Deno.rename(temporary, path);
    } catch (error) {
      await Deno.remove(temporary).catch(() => {});
      throw error;
    }
    if (durable) {
      await syncDirectory(directory);
      await syncDirectory(this.#options.directory);
    }
  }

  /**
   * @returns undefined if there is no record
   * @throws {InternalError} the record is damaged
   * @throws {FailedPreconditionError} a newer program wrote it
   */
  async read(id: string): Promise<StoredRecord | undefined> {
    const { kind, limitBytes = LIMIT_BYTES } = this.#options;
    const text = await readBounded(this.path(id), limitBytes);
    return text === undefined ? undefined : decodeRecord(text, { kind, id });
  }

  /** Removes the record, not its directory. Succeeds if it is already gone. */
  async remove(id: string): Promise<void> {
    await ignoreMissing(Deno.remove(this.path(id)));
  }

  /** Every record below the directory, in order of id; a damaged one is set aside and told. */
  async *scan(): AsyncGenerator<ScannedRecord> {
    for (const id of await this.#ids()) {
      try {
        const record = await this.read(id);
        if (record !== undefined) yield { kind: "record", record };
      } catch (error) {
        yield error instanceof InternalError
          ? await this.#setAside(id, errorMessage(error))
          : { kind: "skipped", id, error };
      }
    }
  }

  async #ids(): Promise<string[]> {
    const ids: string[] = [];
    try {
      for await (const entry of Deno.readDir(this.#options.directory)) {
        if (entry.isDirectory && isRecordId(entry.name)) ids.push(entry.name);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return ids.sort();
  }

  async #setAside(id: string, reason: string): Promise<ScannedRecord> {
    const path = this.path(id);
    const setAside = `${path}.damaged`;
    try {
      await Deno.rename(path, setAside);
      return { kind: "damaged", id, reason, setAside };
    } catch (error) {
      return { kind: "skipped", id, error };
    }
  }
}

async function writeFile(path: string, bytes: Uint8Array, sync: boolean): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true, mode: 0o600 });
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  if (sync) await file.sync();
}

async function syncDirectory(path: string): Promise<void> {
  using directory = await Deno.open(path, { read: true });
  await directory.sync();
}

/** @throws {InternalError} the file is over the limit, not UTF-8, or no regular file */
async function readBounded(path: string, limitBytes: number): Promise<string | undefined> {
  const stat = await ignoreMissing(Deno.lstat(path));
  if (stat === undefined) return undefined;
  if (!stat.isFile) throw new InternalError("The record is not a regular file", { path });
  if (stat.size > limitBytes) {
    throw new InternalError(`The record is over ${limitBytes} bytes`, { path });
  }
  using file = await Deno.open(path, { read: true });
  const bytes = new Uint8Array(stat.size);
  let length = 0;
  while (length < bytes.length) {
    const count = await file.read(bytes.subarray(length));
    if (count === null) break;
    length += count;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length));
  } catch (error) {
    throw new InternalError("The record is not UTF-8", { path, cause: error });
  }
}

async function ignoreMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
