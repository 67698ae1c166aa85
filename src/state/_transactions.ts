/** Transactions of one connection, with the codes that node:sqlite gives to prepared statements. @module */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { InternalError } from "../errors/mod.ts";
import { databaseError, isDiskFull } from "./_sqlite_errors.ts";

export class Transactions {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;

  constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#rollback = database.prepare("ROLLBACK");
  }

  /** True while {@link Transactions.run} is acting. */
  get open(): boolean {
    return this.#database.isTransaction;
  }

  /**
   * All of what `act` writes, or nothing. `act` is synchronous, not nested, and run twice when the disk
   * is full: a checkpoint between lets the log be written from its beginning again.
   */
  run<T>(act: () => T): T {
    if (this.open) throw new InternalError("A transaction was begun inside another");
    try {
      return this.#attempt(act);
    } catch (error) {
      if (!isDiskFull(error) || !this.checkpoint()) throw error;
      return this.#attempt(act);
    }
  }

  /**
   * Moves the log into the database. Waits for the disk, which is acceptable for the one moment when
   * nothing else can go on.
   *
   * @returns false if not all of it could be moved
   */
  checkpoint(): boolean {
    try {
      const row = this.#database.prepare("PRAGMA wal_checkpoint(PASSIVE)").get();
      return row?.log === row?.checkpointed;
    } catch {
      // The database file itself has to grow, so only the reserve can help.
      return false;
    }
  }

  #attempt<T>(act: () => T): T {
    try {
      this.#begin.run();
      const result = act();
      if (result instanceof Promise) {
        throw new InternalError("A transaction cannot wait for a promise");
      }
      this.#commit.run();
      return result;
    } catch (error) {
      // A full disk may have rolled back already.
      if (this.open) this.#rollback.run();
      throw databaseError(error, "Cannot write to the database", this.#path);
    }
  }
}
