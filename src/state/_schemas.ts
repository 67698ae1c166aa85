/** The tables of both databases, as the migrations that make them. @module */
import type { Migration } from "./database.ts";

// quick_check verifies CHECK constraints, so a document that lost a page is found at the start.
const documents = (name: string): string =>
  `CREATE TABLE ${name} (
     id TEXT PRIMARY KEY,
     value TEXT NOT NULL CHECK (json_valid(value))
   ) STRICT;`;

// AUTOINCREMENT: a row number is never given twice, so descending order stays the undo order.
const RESOURCES = `
  CREATE TABLE resources (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL CHECK (json_valid(payload)),
    state TEXT NOT NULL CHECK (state IN ('intended', 'done')),
    boot_id TEXT NOT NULL
  ) STRICT;
  CREATE INDEX resources_by_owner ON resources (owner);`;

export const PODS_MIGRATIONS: readonly Migration[] = [
  { version: 1, sql: documents("sandboxes") + documents("containers") + RESOURCES },
];

export const IMAGES_MIGRATIONS: readonly Migration[] = [
  { version: 1, sql: documents("images") + documents("layers") + RESOURCES },
];
