/**
 * The record of pods and containers, with their journal, in `pods.db` on the main thread.
 *
 * Commits use WAL with synchronous=NORMAL: they survive the death of this process. A power cut ends
 * every pod anyway. Checkpoints, the only part that waits for the disk, run in the durable worker.
 *
 * @module
 */
import type { JsonObject } from "../model/mod.ts";
import { type Logger, silentLogger } from "../telemetry/mod.ts";
import { PODS_MIGRATIONS } from "./_schemas.ts";
import { databaseError, isDiskFull } from "./_sqlite_errors.ts";
import { DocumentTable, ResourceTable } from "./_tables.ts";
import { Transactions } from "./_transactions.ts";
import {
  closeDatabase,
  type DatabaseOrigin,
  isComplete,
  markUsed,
  openDatabase,
  type OpenedDatabase,
} from "./database.ts";
import type { Journal, Resource, ResourceRow } from "./journal.ts";
import type { StoredRecord } from "./record_file.ts";
import type { RecordTable } from "./records.ts";

/** Moves what a write-ahead log holds into its database, somewhere else than on this thread. */
export interface Checkpointer {
  checkpoint(path: string): Promise<void>;
}

/** Frees space that was kept back for this moment. */
export interface SpaceReleaser {
  /** @returns false if there is nothing to free */
  release(): boolean;
}

export interface PodStateOptions {
  readonly path: string;
  readonly bootId: string;
  readonly checkpointer?: Checkpointer;
  readonly reserve?: SpaceReleaser;
  readonly log?: Logger;
}

/** The journal without promises, for use inside {@link PodState.transaction}. */
export interface SyncJournal {
  intend(owner: string, kind: string, payload: JsonObject): ResourceRow;
  done(row: ResourceRow, payload: JsonObject): void;
  forget(row: ResourceRow): void;
  ofOwner(owner: string): Resource[];
}

export interface PodTransaction {
  readonly sandboxes: RecordTable;
  readonly containers: RecordTable;
  readonly journal: SyncJournal;
}

/** Commits between two checkpoints while there is no pause: about 10 MB of log. */
const CHECKPOINT_COMMITS = 1024;
/** A pause this long is used for a checkpoint: then nobody notices that it syncs. */
const CHECKPOINT_PAUSE_MS = 2000;
/** Only a checkpoint's last moment or another program can hold the lock. */
const BUSY_TIMEOUT_MS = 1000;

type Timer = ReturnType<typeof setTimeout>;

export class PodState implements AsyncDisposable {
  readonly path: string;
  readonly origin: DatabaseOrigin;
  /** Every change is a transaction of its own, or part of the one that runs. */
  readonly sandboxes: RecordTable;
  readonly containers: RecordTable;
  /** Synchronous underneath: a commit is made when the method returns its promise. */
  readonly journal: Journal;

  readonly #opened: OpenedDatabase;
  readonly #transactions: Transactions;
  readonly #inside: PodTransaction;
  readonly #resources: ResourceTable;
  readonly #options: PodStateOptions;
  readonly #log: Logger;
  /** False until the first transaction after a rebuild. */
  #used: boolean;
  #commits = 0;
  #lastCommitMs = 0;
  #pause: Timer | undefined;
  #checkpoint: Promise<void> | undefined;

  private constructor(opened: OpenedDatabase, options: PodStateOptions) {
    const { database } = opened;
    this.path = options.path;
    this.origin = opened.origin;
    this.#used = isComplete(opened.origin);
    this.#opened = opened;
    this.#options = options;
    this.#log = options.log ?? silentLogger;
    this.#transactions = new Transactions(database, options.path);
    this.#resources = new ResourceTable(database, options.bootId);
    this.#inside = {
      sandboxes: new DocumentTable(database, "sandboxes"),
      containers: new DocumentTable(database, "containers"),
      journal: this.#resources,
    };
    this.sandboxes = this.#table(this.#inside.sandboxes);
    this.containers = this.#table(this.#inside.containers);
    this.journal = this.#journal();
  }

  /** Opens or makes the database; `origin` tells whether its contents must be rebuilt. @see openDatabase */
  static open(options: PodStateOptions): PodState {
    const opened = openDatabase({
      path: options.path,
      migrations: PODS_MIGRATIONS,
      synchronous: "NORMAL",
      busyTimeoutMs: BUSY_TIMEOUT_MS,
      autoCheckpointPages: options.checkpointer === undefined ? 1000 : 0,
    });
    return new PodState(opened, options);
  }

  /**
   * Makes several changes of records and journal in one commit: all or nothing. `act` may be run
   * again, when the disk was full and a checkpoint or the reserve made room.
   *
   * @throws {ResourceExhaustedError} the disk is full and the reserve is used up
   */
  transaction<T>(act: (inside: PodTransaction) => T): T {
    const result = this.#commit(() => {
      if (!this.#used) markUsed(this.#opened.database);
      return act(this.#inside);
    });
    this.#used = true;
    return result;
  }

  /**
   * Enters a record and its resources as read from a record file; does nothing if the id is there. For
   * rebuilds, before anything else is written: if one is cut off, the next start is told to rebuild.
   */
  restore(table: "sandboxes" | "containers", record: StoredRecord): boolean {
    return this.#commit(() => {
      if (this.#inside[table].get(record.id) !== undefined) return false;
      for (const resource of record.resources) this.#resources.restore(resource);
      this.#inside[table].put(record.id, record.value);
      return true;
    });
  }

  /** Waits for a checkpoint under way and closes the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#pause);
    await this.#checkpoint;
    const { database } = this.#opened;
    if (database.isOpen) closeDatabase(database, this.path);
  }

  #write<T>(act: () => T): T {
    return this.#transactions.open ? act() : this.transaction(act);
  }

  #commit<T>(act: () => T): T {
    const result = this.#withReserve(() => this.#transactions.run(act));
    this.#committed();
    return result;
  }

  #withReserve<T>(commit: () => T): T {
    try {
      return commit();
    } catch (error) {
      if (!isDiskFull(error) || this.#options.reserve?.release() !== true) throw error;
      // While there is room, so that the log does not eat up the reserve.
      this.#transactions.checkpoint();
      return commit();
    }
  }

  #read<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      throw databaseError(error, "Cannot read the database", this.path);
    }
  }

  #committed(): void {
    if (this.#options.checkpointer === undefined) return;
    this.#lastCommitMs = performance.now();
    if (++this.#commits >= CHECKPOINT_COMMITS) this.#startCheckpoint();
    else this.#pause ??= this.#awaitPause(CHECKPOINT_PAUSE_MS);
  }

  /** One timer for many commits: it looks again if there was one meanwhile. */
  #awaitPause(delayMs: number): Timer {
    const timer = setTimeout(() => {
      this.#pause = undefined;
      const leftMs = this.#lastCommitMs + CHECKPOINT_PAUSE_MS - performance.now();
      if (leftMs > 0) this.#pause = this.#awaitPause(leftMs);
      else this.#startCheckpoint();
    }, delayMs);
    Deno.unrefTimer(timer);
    return timer;
  }

  #startCheckpoint(): void {
    const { checkpointer } = this.#options;
    if (checkpointer === undefined || this.#checkpoint !== undefined) return;
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#commits = 0;
    this.#checkpoint = checkpointer.checkpoint(this.path)
      .catch((error) => this.#log.warn("Checkpoint of the pods' database failed", { error }))
      .finally(() => this.#checkpoint = undefined);
  }

  #table(inner: RecordTable): RecordTable {
    return {
      get: (id) => this.#read(() => inner.get(id)),
      all: () => this.#read(() => inner.all()),
      put: (id, value) => this.#write(() => inner.put(id, value)),
      delete: (id) => this.#write(() => inner.delete(id)),
    };
  }

  #journal(): Journal {
    const inner = this.#resources;
    // Promise.try turns what the synchronous ones throw into rejections.
    return {
      intend: (owner, kind, payload) =>
        Promise.try(() => this.#write(() => inner.intend(owner, kind, payload))),
      done: (row, payload) => Promise.try(() => this.#write(() => inner.done(row, payload))),
      forget: (row) => Promise.try(() => this.#write(() => inner.forget(row))),
      ofOwner: (owner) => Promise.try(() => this.#read(() => inner.ofOwner(owner))),
      owners: () => Promise.try(() => this.#read(() => inner.owners())),
    };
  }
}
