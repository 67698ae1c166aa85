import assert from "node:assert/strict";
import { InternalError, UnavailableError } from "../errors/mod.ts";
import { DurableWriter } from "./durable_writer.ts";
import { ImageState } from "./image_records.ts";

class Bench implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync();
  readonly writer = new DurableWriter();
  readonly path = `${this.directory}/images.db`;

  open(): Promise<ImageState> {
    return ImageState.open({ path: this.path, bootId: "boot-1", writer: this.writer });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writer[Symbol.asyncDispose]();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test("images and layers are there again after a new start", async () => {
  await using bench = new Bench();
  const state = await bench.open();
  assert.equal(state.origin.kind, "created");
  await state.rebuilt();
  await state.images.put("i1", { tags: ["a"] });
  await state.layers.put("sha256:1", { size: 1 });
  await state.layers.put("sha256:2", { size: 2 });
  await state.layers.delete("sha256:2");
  assert.deepEqual(state.images.get("i1"), { tags: ["a"] });
  bench.writer.terminate();
  const again = await bench.open();
  assert.equal(again.origin.kind, "existing");
  assert.deepEqual(again.images.all(), [{ id: "i1", value: { tags: ["a"] } }]);
  assert.deepEqual(again.layers.all(), [{ id: "sha256:1", value: { size: 1 } }]);
});

Deno.test("the images' journal keeps intents in order and forgets them", async () => {
  await using bench = new Bench();
  const { journal } = await bench.open();
  const rows = [];
  for (const name of ["a", "b", "c"]) rows.push(await journal.intend("pull-1", "layer", { name }));
  await journal.done(rows[0] ?? 0, { name: "a", size: 1 });
  await journal.forget(rows[1] ?? 0);
  const check = async (state: ImageState) => {
    const kept = await state.journal.ofOwner("pull-1");
    assert.deepEqual(kept.map(({ payload, state }) => [payload, state]), [
      [{ name: "a", size: 1 }, "done"],
      [{ name: "c" }, "intended"],
    ]);
  };
  bench.writer.terminate();
  const again = await bench.open();
  await check(again);
  assert.deepEqual(await again.journal.owners(), ["pull-1"]);
  await assert.rejects(again.journal.done(rows[1] ?? 0, {}), InternalError);
});

Deno.test("a commit of several changes is all or nothing", async () => {
  await using bench = new Bench();
  const state = await bench.open();
  await assert.rejects(
    state.commit([
      { op: "put", table: "images", id: "i1", value: {} },
      { op: "done", row: 99, payload: {} },
    ]),
    InternalError,
  );
  assert.deepEqual(state.images.all(), []);
  bench.writer.terminate();
  assert.deepEqual((await bench.open()).images.all(), []);
});

Deno.test("writes at the same time share commits, and one that is wrong fails alone", async () => {
  await using bench = new Bench();
  const state = await bench.open();
  const results = await Promise.allSettled([
    ...Array.from({ length: 50 }, (_, n) => state.layers.put(`layer-${n}`, { n })),
    state.journal.done(12345, {}),
    state.images.put("last", {}),
  ]);
  assert.equal(results.filter(({ status }) => status === "rejected").length, 1);
  assert.equal(state.layers.all().length, 50);
  assert.deepEqual(state.images.get("last"), {});
});

Deno.test("a killed worker answers Unavailable, then works again and lost nothing acknowledged", async () => {
  await using bench = new Bench();
  const state = await bench.open();
  const acknowledged = new Set<string>();
  let refused = 0;
  for (let round = 0; round < 10; round++) {
    const writes = Array.from({ length: 20 }, async (_, n) => {
      const id = `r${round}-${n}`;
      try {
        await state.images.put(id, { text: "x".repeat(2000) });
        acknowledged.add(id);
        await state.images.put(`${id}-second`, {});
        acknowledged.add(`${id}-second`);
      } catch (error) {
        assert.ok(error instanceof UnavailableError);
        refused++;
      }
    });
    await new Promise((resolve) => setTimeout(resolve, round));
    bench.writer.terminate();
    await Promise.all(writes);
  }
  assert.ok(refused > 0, "no kill met a write");
  await state.images.put("after", {});
  const inCopy = new Set(state.images.all().map(({ id }) => id));
  bench.writer.terminate();
  const again = await bench.open();
  const onDisk = new Set(again.images.all().map(({ id }) => id));
  assert.deepEqual([...acknowledged].filter((id) => !onDisk.has(id)), []);
  assert.deepEqual(inCopy, onDisk, "the copy is what is on the disk");
});

Deno.test("a database deleted while the worker has died is written again from the copy", async () => {
  await using bench = new Bench();
  const state = await bench.open();
  await state.images.put("i1", { tags: ["a"] });
  await state.journal.intend("pull-1", "layer", { name: "a" });
  await state.rebuilt();
  bench.writer.terminate();
  for (const suffix of ["", "-wal", "-shm"]) {
    await Deno.remove(bench.path + suffix).catch(() => {});
  }
  await state.images.put("i2", {});
  bench.writer.terminate();
  const again = await bench.open();
  assert.deepEqual(again.images.all().map(({ id }) => id), ["i1", "i2"]);
  assert.deepEqual(await again.journal.owners(), ["pull-1"]);
});
