import assert from "node:assert/strict";
import { InternalError, InvalidArgumentError } from "../errors/mod.ts";
import { DurableWriter } from "./durable_writer.ts";
import { ImageState } from "./image_records.ts";
import { PodState } from "./pod_records.ts";
import { rebuild } from "./rebuild.ts";
import { encodeRecord, type StoredResource } from "./record_file.ts";
import { RecordFiles } from "./record_files.ts";

const RESOURCES: StoredResource[] = ["netns", "cni"].map((kind) => ({
  owner: "s1",
  kind,
  payload: { of: kind },
  state: "done",
  bootId: "boot-1",
}));

async function inDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function podFiles(root: string, durable = false): RecordFiles {
  return new RecordFiles({ directory: `${root}/pods`, kind: "sandbox", durable });
}

for (const durable of [false, true]) {
  Deno.test(`a record is read as it was written (${durable ? "" : "not "}durable)`, () =>
    inDirectory(async (root) => {
      const files = podFiles(root, durable);
      const record = { id: "s1", value: { name: "ä\u2028", 7: [null, 1.5] }, resources: RESOURCES };
      await files.write({ ...record, value: {} });
      await files.write(record);
      assert.deepEqual(await files.read("s1"), record);
      assert.deepEqual([...Deno.readDirSync(`${root}/pods/s1`)].map(({ name }) => name), [
        "record.json",
      ]);
      await files.remove("s1");
      await files.remove("s1");
      assert.equal(await files.read("s1"), undefined);
    }));
}

Deno.test("an id that is no file name is refused", () => {
  for (const id of ["", ".", "..", "a/b", "../x", ".hidden", "a\0b", "x".repeat(300)]) {
    assert.throws(() => podFiles("/nonexistent").path(id), InvalidArgumentError, id);
  }
});

Deno.test("whatever byte of a record is changed, reading it fails", () =>
  inDirectory(async (root) => {
    const files = podFiles(root);
    await files.write({ id: "s1", value: { name: "one" }, resources: RESOURCES });
    const good = await Deno.readFile(files.path("s1"));
    for (let at = 0; at < good.length - 1; at++) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 1;
      await Deno.writeFile(files.path("s1"), bad);
      await assert.rejects(files.read("s1"), InternalError, `byte ${at}`);
    }
  }));

Deno.test("the record of another id, another kind or over the limit is damaged", () =>
  inDirectory(async (root) => {
    const files = new RecordFiles({
      directory: `${root}/pods`,
      kind: "sandbox",
      durable: false,
      limitBytes: 1000,
    });
    await Deno.mkdir(`${root}/pods/s1`, { recursive: true });
    const record = { id: "s1", value: {}, resources: [] };
    for (
      const text of [
        encodeRecord("sandbox", { ...record, id: "s2" }),
        encodeRecord("container", record),
        encodeRecord("sandbox", { ...record, value: { text: "x".repeat(1000) } }),
        "null",
        "[]",
        "",
        "{}",
      ]
    ) {
      await Deno.writeTextFile(files.path("s1"), text);
      await assert.rejects(files.read("s1"), InternalError, text.slice(0, 60));
    }
    await assert.rejects(
      files.write({ ...record, value: { text: "x".repeat(1000) } }),
      InternalError,
    );
  }));

Deno.test("a new database is filled from the record files; a damaged one is set aside and told", () =>
  inDirectory(async (root) => {
    const files = podFiles(root);
    await files.write({ id: "s1", value: { name: "one" }, resources: RESOURCES });
    await files.write({ id: "s2", value: { name: "two" }, resources: [] });
    await files.write({ id: "s3", value: {}, resources: [] });
    await Deno.writeFile(files.path("s2"), new Uint8Array(4096));
    await Deno.mkdir(`${root}/pods/half-made`);
    await Deno.writeTextFile(`${root}/pods/stray-file`, "");
    const future = encodeRecord("sandbox", { id: "s3", value: {}, resources: [] });
    const { checksum: _, ...body } = { ...JSON.parse(future), version: 2 };
    await Deno.writeTextFile(files.path("s3"), await sealed(body));

    await using state = PodState.open({ path: `${root}/pods.db`, bootId: "boot-2" });
    const sources = [{
      files,
      restore: (record: Parameters<PodState["restore"]>[1]) => state.restore("sandboxes", record),
    }];
    const report = await rebuild(sources);
    assert.deepEqual(report.restored, [{ kind: "sandbox", id: "s1" }]);
    assert.deepEqual(report.damaged.map(({ id }) => id), ["s2"]);
    assert.deepEqual(report.skipped.map(({ id }) => id), ["s3"]);
    assert.match(report.skipped[0]?.reason ?? "", /format "2"/);
    assert.deepEqual(state.sandboxes.all(), [{ id: "s1", value: { name: "one" } }]);
    const rows = await state.journal.ofOwner("s1");
    assert.deepEqual(rows.map(({ row: _, ...rest }) => rest), RESOURCES, "boot and order kept");
    assert.ok(Deno.statSync(`${files.path("s2")}.damaged`).isFile);

    const again = await rebuild(sources);
    assert.deepEqual([again.known, again.restored, again.damaged], [1, [], []]);
    assert.equal((await state.journal.ofOwner("s1")).length, 2, "nothing is entered twice");
  }));

async function sealed(body: Record<string, unknown>): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  return JSON.stringify({ ...body, checksum: `sha256:${hash}` });
}

Deno.test("layers are filled in the same way, through the worker", () =>
  inDirectory(async (root) => {
    await using writer = new DurableWriter();
    const state = await ImageState.open({ path: `${root}/images.db`, bootId: "b", writer });
    const files = new RecordFiles({ directory: `${root}/layers`, kind: "layer", durable: true });
    const id = `sha256:${"ab".repeat(32)}`;
    await files.write({
      id,
      value: { size: 1 },
      resources: [{ owner: id, kind: "layer", payload: {}, state: "done", bootId: "a" }],
    });
    const report = await rebuild([{ files, restore: (record) => state.restore("layers", record) }]);
    assert.equal(report.restored.length, 1);
    assert.deepEqual(state.layers.get(id), { size: 1 });
    assert.deepEqual(await state.journal.owners(), [id]);
  }));

Deno.test("a rebuild that was cut off is asked for again, until ordinary work begins", () =>
  inDirectory(async (root) => {
    const record = { id: "s1", value: {}, resources: RESOURCES };
    const origins: string[] = [];
    const session = async (work: (state: PodState) => void) => {
      await using state = PodState.open({ path: `${root}/pods.db`, bootId: "b" });
      origins.push(state.origin.kind);
      work(state);
    };
    await session((state) => void state.restore("sandboxes", record));
    await session((state) => assert.equal(state.restore("sandboxes", record), false));
    await session((state) => state.containers.put("c1", {}));
    await session((state) => assert.equal(state.sandboxes.all().length, 1));
    assert.deepEqual(origins, ["created", "created", "created", "existing"]);

    await using writer = new DurableWriter();
    const open = () => ImageState.open({ path: `${root}/images.db`, bootId: "b", writer });
    await (await open()).restore("layers", record);
    writer.terminate();
    const again = await open();
    assert.equal(again.origin.kind, "created");
    assert.equal(await again.restore("layers", record), false);
    await again.images.put("i1", {});
    await again.rebuilt();
    writer.terminate();
    const used = await open();
    assert.equal(used.origin.kind, "existing");
    assert.equal(used.layers.all().length, 1);
  }));
