/**
 * Opens a SQLite file as the record: checked, migrated, or set aside when it is damaged.
 *
 * Never open a database file by other means (not even to read it) while a connection to it is open:
 * closing any descriptor of the file drops this process's POSIX locks on it.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { errorMessage, FailedPreconditionError, InternalError } from "../errors/mod.ts";
import { DamagedDatabase, databaseError, isDamage } from "./_sqlite_errors.ts";

/** How a schema of version `version - 1` becomes one of `version`; runs inside the one transaction. */
export interface Migration {
  readonly version: number;
  readonly sql: string;
}

export interface OpenOptions {
  readonly path: string;
  /** All of them, from version 1, without gaps. The last one is the version this binary knows. */
  readonly migrations: readonly Migration[];
  /** FULL: a commit survives a power cut. NORMAL: it survives the death of the process. */
  readonly synchronous: "NORMAL" | "FULL";
  /** How long a statement waits for another connection's lock. */
  readonly busyTimeoutMs: number;
  /** 0 leaves checkpoints to another connection. SQLite's default is 1000. */
  readonly autoCheckpointPages?: number;
  /** It was open in a worker of this process that died, and closed, with its log moved into it. */
  readonly closedByDeath?: boolean;
}

/**
 * Where the contents come from. With `created` and `damaged` the caller rebuilds them from the record
 * files. The tables are empty then, or, if an earlier rebuild was cut off, hold what that had entered:
 * `created` is told again until {@link markUsed}.
 */
export type DatabaseOrigin =
  | { readonly kind: "existing" }
  | { readonly kind: "migrated"; readonly fromVersion: number; readonly backup: string }
  | { readonly kind: "created" }
  | { readonly kind: "damaged"; readonly reason: string; readonly setAside: string };

/** True if the contents are there and need no rebuild. */
export function isComplete(origin: DatabaseOrigin): boolean {
  return origin.kind === "existing" || origin.kind === "migrated";
}

export interface OpenedDatabase {
  readonly database: DatabaseSync;
  readonly origin: DatabaseOrigin;
}

/**
 * Opens the database at `path`, making it if there is none.
 *
 * A file that SQLite finds damaged is renamed to `<path>.damaged-<time>` together with its `-wal` and
 * `-shm`, and an empty database takes its place. So is one whose log is gone although nobody closed it
 * ({@link closeDatabase}): what it says is whole, but of an earlier moment. A file of an older schema is copied to
 * `<path>.backup-v<N>` and then migrated in one transaction.
 *
 * @throws {FailedPreconditionError} the schema is newer than this binary; the file is untouched
 * @throws {ResourceExhaustedError} the disk is full
 * @throws {InternalError} the file cannot be opened or migrated for another reason
 */
export function openDatabase(options: OpenOptions): OpenedDatabase {
  const { path } = options;
  try {
    const opened = lostLog(options) ?? openChecked(options);
    if (opened.kind === "opened") {
      removeIfThere(closedMark(path));
      return opened;
    }
    const { reason, setAside } = opened;
    const again = openChecked(options);
    if (again.kind === "opened") {
      removeIfThere(closedMark(path));
      return { database: again.database, origin: { kind: "damaged", reason, setAside } };
    }
    throw new InternalError(`The new database ${path} is damaged at once: ${again.reason}`, {
      path,
      remedy: "check the disk",
    });
  } catch (error) {
    throw databaseError(error, "Cannot open the database", path);
  }
}

/** Kept in the file's header: its contents are complete, and ordinary work has begun. */
const USED = 0x53415552;

/** Part of the first ordinary transaction: from then on the contents need no rebuild. */
export function markUsed(database: DatabaseSync): void {
  database.exec(`PRAGMA application_id = ${USED}`);
}

/** Closes the database, and notes that it was closed: its log may be gone at the next opening. */
export function closeDatabase(database: DatabaseSync, path: string): void {
  database.close();
  try {
    Deno.openSync(closedMark(path), { create: true, write: true, mode: 0o600 }).close();
  } catch {
    // On a full or failed disk: without the mark the next opening rebuilds what it could have read.
  }
}

const closedMark = (path: string) => `${path}-closed`;

type Damaged = { readonly kind: "damaged"; readonly reason: string; readonly setAside: string };

/** Sets a database aside whose last commits were in a log that has been lost. */
function lostLog({ path, closedByDeath }: OpenOptions): Damaged | undefined {
  const explained = closedByDeath === true || exists(closedMark(path)) || exists(`${path}-wal`);
  if (explained || !exists(path) || Deno.statSync(path).size === 0) return undefined;
  return {
    kind: "damaged",
    reason: "its log is missing although it was not closed",
    setAside: setAsideDatabase(path),
  };
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

type Attempt =
  | ({ readonly kind: "opened" } & OpenedDatabase)
  | Damaged;

function openChecked(options: OpenOptions): Attempt {
  const { path, busyTimeoutMs } = options;
  makePrivate(path);
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    database.exec("PRAGMA journal_mode = WAL");
    database.exec(`PRAGMA synchronous = ${options.synchronous}`);
    database.exec(`PRAGMA wal_autocheckpoint = ${options.autoCheckpointPages ?? 1000}`);
    const version = userVersion(database);
    const known = options.migrations.at(-1)?.version ?? 0;
    if (version > known) throw newerSchema(path, version, known);
    if (version > 0) quickCheck(database);
    const used = Number(database.prepare("PRAGMA application_id").get()?.application_id) === USED;
    const origin = migrate(database, options, version);
    return { kind: "opened", database, origin: used ? origin : { kind: "created" } };
  } catch (error) {
    // Renamed before it is closed: closing removes the log by its name, and it may be of use.
    const setAside = isDamage(error) ? setAsideDatabase(path) : undefined;
    database.close();
    if (setAside === undefined) throw error;
    return { kind: "damaged", reason: errorMessage(error), setAside };
  }
}

/** SQLite gives the -wal and -shm files the mode of the database. */
function makePrivate(path: string): void {
  Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
}

function userVersion(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.user_version);
}

function newerSchema(path: string, version: number, known: number): FailedPreconditionError {
  return new FailedPreconditionError(
    `The database ${path} has schema version ${version}, this program knows versions up to ${known}`,
    {
      path,
      value: String(version),
      remedy: "start the newer program again, or restore the backup made before its migration",
    },
  );
}

/** Structure of every page, and the CHECK constraints: each JSON document is whole. */
function quickCheck(database: DatabaseSync): void {
  const rows = database.prepare("PRAGMA quick_check(4)").all();
  const complaints = rows.map((row) => String(row.quick_check));
  if (complaints.length !== 1 || complaints[0] !== "ok") {
    throw new DamagedDatabase(complaints.join("; "));
  }
}

function migrate(database: DatabaseSync, options: OpenOptions, version: number): DatabaseOrigin {
  const missing = options.migrations.filter((migration) => migration.version > version);
  if (missing.length === 0) return { kind: "existing" };
  const origin: DatabaseOrigin = version === 0
    ? { kind: "created" }
    : { kind: "migrated", fromVersion: version, backup: backUp(database, options.path, version) };
  database.exec("BEGIN IMMEDIATE");
  try {
    for (const migration of missing) {
      database.exec(migration.sql);
      database.exec(`PRAGMA user_version = ${migration.version}`);
    }
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
  return origin;
}

/** @returns path of a whole and synced copy; an older one of the same version is replaced */
function backUp(database: DatabaseSync, path: string, version: number): string {
  const backup = `${path}.backup-v${version}`;
  const temporary = `${backup}.tmp`;
  removeIfThere(temporary);
  database.prepare("VACUUM INTO ?").run(temporary);
  using file = Deno.openSync(temporary, { read: true, write: true });
  file.syncSync();
  Deno.renameSync(temporary, backup);
  return backup;
}

/** Renames a database and what belongs to it; returns the new path. */
function setAsideDatabase(path: string): string {
  const target = `${path}.damaged-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`;
  for (const suffix of ["", "-wal", "-shm"]) {
    try {
      Deno.renameSync(path + suffix, target + suffix);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return target;
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
