/** The tables of a database as objects, synchronous; used on the main thread and in the worker. @module */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { InternalError, shown } from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import type { Resource, ResourceRow } from "./journal.ts";
import type { RecordTable } from "./records.ts";

/** JSON documents by id. `name` comes from our own schema, never from outside. */
export class DocumentTable implements RecordTable {
  readonly #get: StatementSync;
  readonly #all: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync, name: string) {
    this.#get = database.prepare(`SELECT value FROM ${name} WHERE id = ?`);
    this.#all = database.prepare(`SELECT id, value FROM ${name} ORDER BY id`);
    this.#put = database.prepare(
      `INSERT INTO ${name} (id, value) VALUES (?, ?)
       ON CONFLICT (id) DO UPDATE SET value = excluded.value`,
    );
    this.#delete = database.prepare(`DELETE FROM ${name} WHERE id = ?`);
  }

  get(id: string): JsonObject | undefined {
    const row = this.#get.get(id);
    return row === undefined ? undefined : JSON.parse(String(row.value));
  }

  all(): { readonly id: string; readonly value: JsonObject }[] {
    return this.#all.all().map((row) => ({
      id: String(row.id),
      value: JSON.parse(String(row.value)),
    }));
  }

  put(id: string, value: JsonObject): void {
    this.#put.run(id, JSON.stringify(value));
  }

  delete(id: string): void {
    this.#delete.run(id);
  }
}

/** Rows of the journal. */
export class ResourceTable {
  readonly #bootId: string;
  readonly #intend: StatementSync;
  readonly #done: StatementSync;
  readonly #forget: StatementSync;
  readonly #ofOwner: StatementSync;
  readonly #owners: StatementSync;
  readonly #all: StatementSync;
  readonly #restore: StatementSync;

  /** @param bootId the present boot, noted with each new resource */
  constructor(database: DatabaseSync, bootId: string) {
    this.#bootId = bootId;
    this.#intend = database.prepare(
      `INSERT INTO resources (owner, kind, payload, state, boot_id)
       VALUES (?, ?, ?, 'intended', ?)`,
    );
    this.#done = database.prepare(
      "UPDATE resources SET payload = ?, state = 'done' WHERE row = ?",
    );
    this.#forget = database.prepare("DELETE FROM resources WHERE row = ?");
    const columns = "row, owner, kind, payload, state, boot_id";
    this.#ofOwner = database.prepare(
      `SELECT ${columns} FROM resources WHERE owner = ? ORDER BY row`,
    );
    this.#owners = database.prepare("SELECT DISTINCT owner FROM resources ORDER BY owner");
    this.#all = database.prepare(`SELECT ${columns} FROM resources ORDER BY row`);
    this.#restore = database.prepare(
      `INSERT INTO resources (owner, kind, payload, state, boot_id) VALUES (?, ?, ?, ?, ?)`,
    );
  }

  intend(owner: string, kind: string, payload: JsonObject): ResourceRow {
    const result = this.#intend.run(owner, kind, JSON.stringify(payload), this.#bootId);
    return Number(result.lastInsertRowid);
  }

  /** @throws {InternalError} there is no such row: it was forgotten, or never intended */
  done(row: ResourceRow, payload: JsonObject): void {
    const result = this.#done.run(JSON.stringify(payload), row);
    if (Number(result.changes) !== 1) {
      throw new InternalError(`Resource ${shown(row)} is not in the journal`);
    }
  }

  forget(row: ResourceRow): void {
    this.#forget.run(row);
  }

  ofOwner(owner: string): Resource[] {
    return this.#ofOwner.all(owner).map(toResource);
  }

  owners(): string[] {
    return this.#owners.all().map((row) => String(row.owner));
  }

  all(): Resource[] {
    return this.#all.all().map(toResource);
  }

  /** Enters a resource known from elsewhere under a new row number, which it returns. */
  restore(resource: Omit<Resource, "row">): ResourceRow {
    const { owner, kind, payload, state, bootId } = resource;
    const result = this.#restore.run(owner, kind, JSON.stringify(payload), state, bootId);
    return Number(result.lastInsertRowid);
  }
}

function toResource(row: Record<string, unknown>): Resource {
  return {
    row: Number(row.row),
    owner: String(row.owner),
    kind: String(row.kind),
    payload: JSON.parse(String(row.payload)),
    state: row.state === "done" ? "done" : "intended",
    bootId: String(row.boot_id),
  };
}
