/** Transactions of one connection, with the codes that node:sqlite gives to prepared statements. @module */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { InternalError } from "../errors/mod.ts";
import { databaseError } from "./_sqlite_errors.ts";

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

  /** All of what `act` writes, or nothing. `act` is synchronous and not nested. */
  run<T>(act: () => T): T {
    if (this.open) throw new InternalError("A transaction was begun inside another");
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
