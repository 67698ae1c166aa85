/**
 * The record of images and layers, with their journal, in `images.db`.
 *
 * The database is open in the durable worker alone; each write returns when it would survive a power
 * cut. Reads come from a copy on this thread, which changes only with an acknowledged commit. After
 * the worker's death the copy is read again before the next call, because a commit may have been made
 * and its acknowledgement lost.
 *
 * @module
 */
import { UnavailableError } from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import { type Logger, silentLogger } from "../telemetry/mod.ts";
import type { ChangeResult, ImageChange, ImageContents, ImageTable } from "./_durable_messages.ts";
import { isDiskFull } from "./_sqlite_errors.ts";
import { type DatabaseOrigin, isComplete } from "./database.ts";
import { type DurableWriter, WorkerRestartedError } from "./durable_writer.ts";
import type { Journal, Resource, ResourceRow } from "./journal.ts";
import type { SpaceReleaser } from "./pod_records.ts";
import type { StoredRecord } from "./record_file.ts";
import type { DurableRecordTable } from "./records.ts";

export type { ImageChange, ImageTable };

export interface ImageStateOptions {
  readonly path: string;
  readonly bootId: string;
  readonly writer: DurableWriter;
  readonly reserve?: SpaceReleaser;
  readonly log?: Logger;
}

/** The contents of the database as of the last acknowledged commit. */
interface Copy {
  readonly images: Map<string, JsonObject>;
  readonly layers: Map<string, JsonObject>;
  readonly resources: Map<ResourceRow, Resource>;
}

export class ImageState {
  readonly path: string;
  readonly origin: DatabaseOrigin;
  readonly images: DurableRecordTable;
  readonly layers: DurableRecordTable;
  readonly journal: Journal;

  readonly #options: ImageStateOptions;
  readonly #log: Logger;
  /** False until the contents are known to be complete. */
  #used: boolean;
  #copy: Copy;
  /** Set when the worker died; the next call waits for it. */
  #reload: Promise<void> | undefined;

  private constructor(contents: ImageContents, options: ImageStateOptions) {
    this.path = options.path;
    this.origin = contents.origin;
    this.#options = options;
    this.#log = options.log ?? silentLogger;
    this.#used = isComplete(contents.origin);
    this.#copy = copyOf(contents);
    this.images = this.#table("images");
    this.layers = this.#table("layers");
    this.journal = this.#journal();
  }

  /** Opens or makes the database; `origin` tells whether its contents must be rebuilt. @see openDatabase */
  static async open(options: ImageStateOptions): Promise<ImageState> {
    return new ImageState(await options.writer.open(options.path, options.bootId), options);
  }

  /**
   * Makes several changes in one commit: all or nothing.
   *
   * @returns for each change the row that it got, or null
   * @throws {UnavailableError} the worker died: repeat the call
   * @throws {ResourceExhaustedError} the disk is full and the reserve is used up
   */
  async commit(changes: readonly ImageChange[]): Promise<ChangeResult[]> {
    await this.#reload;
    try {
      const results = await this.#commitWithReserve(changes);
      changes.forEach((change, index) => this.#apply(change, results[index] ?? null));
      return results;
    } catch (error) {
      if (error instanceof UnavailableError) this.#workerDied();
      if (error instanceof WorkerRestartedError) return await this.commit(changes);
      throw error;
    }
  }

  /**
   * Says that what had to be rebuilt is there. Until then every start tells `created` and rebuilds,
   * because one that was cut off must not pass for complete: layers that it did not enter would be
   * taken for garbage.
   */
  async rebuilt(): Promise<void> {
    if (this.#used) return;
    await this.commit([{ op: "used" }]);
    this.#used = true;
  }

  /**
   * Enters a record and its resources as read from a record file; does nothing if the id is there.
   */
  async restore(table: ImageTable, record: StoredRecord): Promise<boolean> {
    const { id, value, resources } = record;
    await this.#reload;
    if (this.#copy[table].has(id)) return false;
    await this.commit([
      ...resources.map((resource) => ({ op: "restore", resource }) as const),
      { op: "put", table, id, value },
    ]);
    return true;
  }

  async #commitWithReserve(changes: readonly ImageChange[]): Promise<ChangeResult[]> {
    const { writer, reserve } = this.#options;
    try {
      return await writer.commit(changes);
    } catch (error) {
      if (!isDiskFull(error) || reserve?.release() !== true) throw error;
      return await writer.commit(changes);
    }
  }

  #workerDied(): void {
    this.#reload ??= this.#readAgain().finally(() => this.#reload = undefined);
    // Whoever waits for it sees the failure; the next call tries once more.
    this.#reload.catch((error) => this.#log.error("Cannot read the images' record", { error }));
  }

  async #readAgain(): Promise<void> {
    const { writer, path, bootId } = this.#options;
    const contents = await writer.open(path, bootId);
    if (!isLost(contents)) {
      this.#copy = copyOf(contents);
      return;
    }
    // The file went away or broke while we ran: the copy here is the best there is.
    this.#log.error("The images' database was lost and is written again", { path });
    const { images, layers, resources } = this.#copy;
    const results = await writer.commit([
      ...puts("images", images),
      ...puts("layers", layers),
      ...[...resources.values()].map((resource) => ({ op: "restore", resource }) as const),
      ...(this.#used ? [{ op: "used" } as const] : []),
    ]);
    const rows = results.slice(images.size + layers.size);
    const renumbered = [...resources.values()].map((resource, index) => ({
      ...resource,
      row: rows[index] ?? resource.row,
    }));
    this.#copy = { images, layers, resources: byRow(renumbered) };
  }

  #apply(change: ImageChange, result: ChangeResult): void {
    const { resources } = this.#copy;
    switch (change.op) {
      case "put":
        return void this.#copy[change.table].set(change.id, change.value);
      case "delete":
        return void this.#copy[change.table].delete(change.id);
      case "intend": {
        const { owner, kind, payload } = change;
        const row = rowOf(result);
        const { bootId } = this.#options;
        return void resources.set(row, { row, owner, kind, payload, state: "intended", bootId });
      }
      case "done": {
        const before = resources.get(change.row);
        if (before === undefined) return;
        return void resources.set(change.row, {
          ...before,
          payload: change.payload,
          state: "done",
        });
      }
      case "forget":
        return void resources.delete(change.row);
      case "restore": {
        const row = rowOf(result);
        return void resources.set(row, { ...change.resource, row });
      }
      case "used":
        return;
    }
  }

  #table(table: ImageTable): DurableRecordTable {
    return {
      get: (id) => this.#copy[table].get(id),
      all: () => [...this.#copy[table]].map(([id, value]) => ({ id, value })),
      put: async (id, value) => void await this.commit([{ op: "put", table, id, value }]),
      delete: async (id) => void await this.commit([{ op: "delete", table, id }]),
    };
  }

  #journal(): Journal {
    return {
      intend: async (owner, kind, payload) => {
        const [row] = await this.commit([{ op: "intend", owner, kind, payload }]);
        return rowOf(row);
      },
      done: async (row, payload) => void await this.commit([{ op: "done", row, payload }]),
      forget: async (row) => void await this.commit([{ op: "forget", row }]),
      ofOwner: async (owner) => {
        await this.#reload;
        return [...this.#copy.resources.values()].filter((resource) => resource.owner === owner);
      },
      owners: async () => {
        await this.#reload;
        return [...new Set([...this.#copy.resources.values()].map(({ owner }) => owner))].sort();
      },
    };
  }
}

function rowOf(result: ChangeResult | undefined): ResourceRow {
  if (typeof result !== "number") throw new UnavailableError("The durable worker gave no row");
  return result;
}

/** True if the worker had to make the file anew. */
function isLost({ origin, images, layers, resources }: ImageContents): boolean {
  if (isComplete(origin)) return false;
  return images.length === 0 && layers.length === 0 && resources.length === 0;
}

function copyOf(contents: ImageContents): Copy {
  return {
    images: new Map(contents.images.map(({ id, value }) => [id, value])),
    layers: new Map(contents.layers.map(({ id, value }) => [id, value])),
    resources: byRow(contents.resources),
  };
}

function byRow(resources: readonly Resource[]): Map<ResourceRow, Resource> {
  return new Map(resources.map((resource) => [resource.row, resource]));
}

function puts(table: ImageTable, documents: ReadonlyMap<string, JsonObject>): ImageChange[] {
  return [...documents].map(([id, value]) => ({ op: "put", table, id, value }));
}
