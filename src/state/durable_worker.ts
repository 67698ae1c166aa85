/**
 * The thread that waits for the disk: commits of `images.db`, which survive a power cut, and the
 * checkpoints of `pods.db`.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { serveWorker } from "../sys/mod.ts";
import type {
  ChangeResult,
  DurableOperations,
  ImageChange,
  ImageContents,
  ImageTable,
} from "./_durable_messages.ts";
import { IMAGES_MIGRATIONS } from "./_schemas.ts";
import { databaseError } from "./_sqlite_errors.ts";
import { DocumentTable, ResourceTable } from "./_tables.ts";
import { Transactions } from "./_transactions.ts";
import { closeDatabase, markUsed, openDatabase, type OpenedDatabase } from "./database.ts";

const BUSY_TIMEOUT_MS = 10_000;
/** 1 MiB of log: a small part of the reserve, which must hold it when the disk is full. */
const AUTO_CHECKPOINT_PAGES = 256;

/** `images.db` as this thread has it open. */
class ImageDatabase implements Disposable {
  readonly #opened: OpenedDatabase;
  readonly #path: string;
  readonly #transactions: Transactions;
  readonly #tables: Readonly<Record<ImageTable, DocumentTable>>;
  readonly #resources: ResourceTable;

  constructor(path: string, bootId: string, closedByDeath: boolean) {
    this.#path = path;
    this.#opened = openDatabase({
      path,
      closedByDeath,
      migrations: IMAGES_MIGRATIONS,
      synchronous: "FULL",
      busyTimeoutMs: BUSY_TIMEOUT_MS,
      autoCheckpointPages: AUTO_CHECKPOINT_PAGES,
    });
    const { database } = this.#opened;
    this.#transactions = new Transactions(database, path);
    this.#tables = {
      images: new DocumentTable(database, "images"),
      layers: new DocumentTable(database, "layers"),
    };
    this.#resources = new ResourceTable(database, bootId);
  }

  contents(): ImageContents {
    return {
      origin: this.#opened.origin,
      images: this.#tables.images.all(),
      layers: this.#tables.layers.all(),
      resources: this.#resources.all(),
    };
  }

  commit(changes: readonly ImageChange[]): ChangeResult[] {
    return this.#transactions.run(() => changes.map((change) => this.#apply(change)));
  }

  [Symbol.dispose](): void {
    closeDatabase(this.#opened.database, this.#path);
  }

  #apply(change: ImageChange): ChangeResult {
    switch (change.op) {
      case "put":
        this.#tables[change.table].put(change.id, change.value);
        return null;
      case "delete":
        this.#tables[change.table].delete(change.id);
        return null;
      case "intend":
        return this.#resources.intend(change.owner, change.kind, change.payload);
      case "done":
        this.#resources.done(change.row, change.payload);
        return null;
      case "forget":
        this.#resources.forget(change.row);
        return null;
      case "restore":
        return this.#resources.restore(change.resource);
      case "used":
        markUsed(this.#opened.database);
        return null;
    }
  }
}

interface Checkpointed {
  readonly database: DatabaseSync;
  readonly inode: number | null;
}

let images: ImageDatabase | undefined;
/** Kept open, so that closing it never removes the write-ahead log under the main thread. */
const checkpointed = new Map<string, Checkpointed>();

serveWorker<DurableOperations>({
  open: ({ path, bootId, closedByDeath }) => {
    images ??= new ImageDatabase(path, bootId, closedByDeath);
    return images.contents();
  },
  commit: (changes) => images?.commit(changes) ?? null,
  checkpoint: ({ path }) => checkpoint(path),
  close: () => {
    images?.[Symbol.dispose]();
    images = undefined;
    for (const { database } of checkpointed.values()) database.close();
    checkpointed.clear();
  },
});

function checkpoint(path: string): void {
  try {
    // Another file may have taken the place of the one that was opened.
    const inode = Deno.statSync(path).ino;
    let opened = checkpointed.get(path);
    if (opened?.inode !== inode) {
      opened?.database.close();
      // mode=rw: a deleted database must not come back as an empty file.
      const database = new DatabaseSync(`file:${encodeURI(path)}?mode=rw`, { timeout: 0 });
      database.exec("PRAGMA synchronous = NORMAL");
      opened = { database, inode };
      checkpointed.set(path, opened);
    }
    const row = opened.database.prepare("PRAGMA wal_checkpoint(PASSIVE)").get();
    if (row?.log === row?.checkpointed) restartLog(opened.database);
  } catch (error) {
    throw databaseError(error, "Cannot checkpoint the database", path);
  }
}

/**
 * The first write after a complete checkpoint begins the log again and syncs its header, also with
 * synchronous=NORMAL. Done here, so that the main thread need not wait for the disk.
 */
function restartLog(database: DatabaseSync): void {
  try {
    const version = Number(database.prepare("PRAGMA user_version").get()?.user_version);
    database.exec(`PRAGMA user_version = ${version}`);
  } catch {
    // Locked: the main thread is writing, and has begun the log again itself.
  }
}
