import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { FailedPreconditionError, InternalError } from "../errors/mod.ts";
import {
  closeDatabase,
  markUsed,
  type Migration,
  openDatabase,
  type OpenedDatabase,
} from "./database.ts";
import { PodState } from "./pod_records.ts";

const FIRST: Migration = { version: 1, sql: "CREATE TABLE a (x TEXT NOT NULL) STRICT" };
const SECOND: Migration = {
  version: 2,
  sql: "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 7; CREATE TABLE b (z TEXT) STRICT",
};

async function inDirectory(test: (path: string) => void | Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(`${directory}/pods.db`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function open(path: string, ...migrations: Migration[]): OpenedDatabase {
  return openDatabase({ path, migrations, synchronous: "NORMAL", busyTimeoutMs: 1000 });
}

function names(path: string): string[] {
  return [...Deno.readDirSync(path.slice(0, path.lastIndexOf("/")))].map(({ name }) => name).sort();
}

Deno.test("a new database is private, of the newest version, and says that it was created", () =>
  inDirectory((path) => {
    const { database, origin } = open(path, FIRST, SECOND);
    assert.deepEqual(origin, { kind: "created" });
    assert.equal(database.prepare("PRAGMA user_version").get()?.user_version, 2);
    database.exec("INSERT INTO a (x) VALUES ('1')");
    markUsed(database);
    for (const file of [path, `${path}-wal`]) {
      assert.equal((Deno.statSync(file).mode ?? 0) & 0o777, 0o600, file);
    }
    closeDatabase(database, path);
    const again = open(path, FIRST, SECOND);
    assert.deepEqual(again.origin, { kind: "existing" });
    closeDatabase(again.database, path);
  }));

Deno.test("an older schema is migrated after a backup that an older binary can open", () =>
  inDirectory((path) => {
    const old = open(path, FIRST);
    old.database.exec("INSERT INTO a VALUES ('kept')");
    markUsed(old.database);
    closeDatabase(old.database, path);
    const { database, origin } = open(path, FIRST, SECOND);
    assert.deepEqual(origin, { kind: "migrated", fromVersion: 1, backup: `${path}.backup-v1` });
    assert.deepEqual({ ...database.prepare("SELECT * FROM a").get() }, { x: "kept", y: 7 });
    closeDatabase(database, path);
    Deno.createSync(`${path}.backup-v1-wal`).close();
    const backup = open(`${path}.backup-v1`, FIRST);
    assert.equal(backup.origin.kind, "existing");
    assert.deepEqual({ ...backup.database.prepare("SELECT * FROM a").get() }, { x: "kept" });
    backup.database.close();
  }));

Deno.test("a migration that fails changes nothing", () =>
  inDirectory((path) => {
    const first = open(path, FIRST);
    markUsed(first.database);
    closeDatabase(first.database, path);
    const broken: Migration = { version: 2, sql: "CREATE TABLE c (z TEXT) STRICT; NONSENSE" };
    assert.throws(() => open(path, FIRST, broken), InternalError);
    const { database, origin } = open(path, FIRST);
    assert.deepEqual(origin, { kind: "existing" });
    assert.equal(database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'c'").get(), undefined);
    closeDatabase(database, path);
  }));

Deno.test("a newer schema is refused, naming both versions, and left alone", () =>
  inDirectory((path) => {
    closeDatabase(open(path, FIRST, SECOND).database, path);
    const before = Deno.readFileSync(path);
    assert.throws(
      () => open(path, FIRST),
      (error: FailedPreconditionError) =>
        error instanceof FailedPreconditionError && /version 2.*up to 1$/.test(error.message),
    );
    assert.deepEqual(Deno.readFileSync(path), before);
    assert.deepEqual(names(path), ["pods.db", "pods.db-closed"]);
  }));

Deno.test("a database that lost its log unclosed is set aside, one that was closed is not", () =>
  inDirectory((path) => {
    const first = open(path, FIRST);
    markUsed(first.database);
    closeDatabase(first.database, path);
    const second = open(path, FIRST);
    assert.equal(second.origin.kind, "existing");
    second.database.close(); // its log goes, and nobody says why
    const third = open(path, FIRST);
    assert.equal(third.origin.kind, "damaged");
    third.database.close();
  }));

Deno.test("a locked database waits and then says who is in the way", () =>
  inDirectory((path) => {
    const { database } = open(path, FIRST);
    database.exec("BEGIN IMMEDIATE");
    assert.throws(
      () =>
        openDatabase({ path, migrations: [FIRST, SECOND], synchronous: "FULL", busyTimeoutMs: 30 }),
      /locked/,
    );
    database.close();
  }));

/** A database of several dozen pages, closed and checkpointed. */
async function filled(path: string): Promise<Map<string, string>> {
  const expected = new Map<string, string>();
  await using state = PodState.open({ path, bootId: "boot-1" });
  for (let n = 0; n < 60; n++) {
    // Some documents fill several overflow pages.
    const value = { n, text: `${n}-`.repeat(n % 5 === 0 ? 4000 : 200) };
    state.sandboxes.put(`sandbox-${n}`, value);
    expected.set(`sandbox-${n}`, JSON.stringify(value));
    await state.journal.intend(`sandbox-${n}`, "cgroup", { path: `/x/${n}` });
  }
  for (let n = 0; n < 60; n += 7) {
    state.sandboxes.delete(`sandbox-${n}`);
    expected.delete(`sandbox-${n}`);
  }
  return expected;
}

Deno.test("whatever page is zeroed, the file is set aside or every record is still whole", () =>
  inDirectory(async (path) => {
    const expected = await filled(path);
    const good = await Deno.readFile(path);
    const pages = good.length / 4096;
    let setAside = 0;
    for (let page = 0; page < pages; page++) {
      const bad = good.slice();
      bad.fill(0, page * 4096, (page + 1) * 4096);
      await Deno.writeFile(path, bad);
      await using state = PodState.open({ path, bootId: "boot-1" });
      if (state.origin.kind === "damaged") {
        setAside++;
        assert.deepEqual(await Deno.readFile(state.origin.setAside), bad);
        assert.deepEqual(state.sandboxes.all(), []);
      } else {
        const found = state.sandboxes.all().map(({ id, value }) => [id, JSON.stringify(value)]);
        assert.deepEqual(new Map(found as [string, string][]), expected, `page ${page}`);
        assert.equal((await state.journal.owners()).length, 60, `page ${page}`);
      }
    }
    assert.ok(pages > 40, `${pages} pages`);
    // The others are free pages, whose content is of no use to anyone.
    assert.ok(setAside > pages / 2, `${setAside} of ${pages}`);
  }));

Deno.test("wherever the file is cut off, it is set aside, or it is empty and made anew", () =>
  inDirectory(async (path) => {
    await filled(path);
    const good = await Deno.readFile(path);
    for (let length = 0; length < good.length; length += 4096 * 9 + 511) {
      await Deno.writeFile(path, good.subarray(0, length));
      await using state = PodState.open({ path, bootId: "boot-1" });
      assert.equal(state.origin.kind, length === 0 ? "created" : "damaged", `${length} bytes`);
      state.sandboxes.put("works", {});
    }
  }));

Deno.test("something that is no database is set aside with its -wal and -shm", () =>
  inDirectory(async (path) => {
    await Deno.writeTextFile(path, "no database at all, but longer than a header ".repeat(100));
    await Deno.writeTextFile(`${path}-wal`, "wal");
    await Deno.writeTextFile(`${path}-shm`, "shm");
    const { database, origin } = open(path, FIRST);
    assert.ok(origin.kind === "damaged");
    assert.match(origin.reason, /not a database/);
    assert.equal(await Deno.readTextFile(`${origin.setAside}-wal`), "wal");
    database.close();
  }));

Deno.test("a log whose database was deleted brings back nothing", () =>
  inDirectory(async (path) => {
    const writer = new DatabaseSync(path);
    writer.exec("PRAGMA journal_mode = WAL; CREATE TABLE sandboxes (id TEXT)");
    await Deno.copyFile(`${path}-wal`, `${path}.kept`);
    writer.close();
    await Deno.remove(path);
    await Deno.rename(`${path}.kept`, `${path}-wal`);
    await using state = PodState.open({ path, bootId: "boot-1" });
    assert.equal(state.origin.kind, "created");
    assert.deepEqual(state.sandboxes.all(), []);
  }));
