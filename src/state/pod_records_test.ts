import assert from "node:assert/strict";
import { InternalError } from "../errors/mod.ts";
import { DurableWriter } from "./durable_writer.ts";
import { PodState, type PodStateOptions } from "./pod_records.ts";

class Bench implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  readonly path = `${this.directory}/pods.db`;

  open(more: Partial<PodStateOptions> = {}): PodState {
    return PodState.open({ path: this.path, bootId: "boot-1", ...more });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

Deno.test("records and resources are there again after a new start, with their boot", async () => {
  using bench = new Bench();
  {
    await using state = bench.open();
    state.sandboxes.put("s1", { name: "one" });
    state.sandboxes.put("s1", { name: "uno" });
    state.containers.put("c1", { sandbox: "s1" });
    const row = await state.journal.intend("s1", "netns", { path: "/run/netns/s1" });
    await state.journal.done(row, { path: "/run/netns/s1", inode: 5 });
  }
  await using state = bench.open({ bootId: "boot-2" });
  assert.equal(state.origin.kind, "existing");
  assert.deepEqual(state.sandboxes.get("s1"), { name: "uno" });
  assert.equal(state.sandboxes.get("s2"), undefined);
  assert.deepEqual(state.containers.all(), [{ id: "c1", value: { sandbox: "s1" } }]);
  assert.deepEqual(await state.journal.ofOwner("s1"), [{
    row: 1,
    owner: "s1",
    kind: "netns",
    payload: { path: "/run/netns/s1", inode: 5 },
    state: "done",
    bootId: "boot-1",
  }]);
});

Deno.test("a row number is never given twice", async () => {
  using bench = new Bench();
  await using state = bench.open();
  const first = await state.journal.intend("a", "k", {});
  await state.journal.forget(first);
  assert.ok(await state.journal.intend("a", "k", {}) > first);
});

Deno.test("completing a forgotten resource is an error, forgetting it again is none", async () => {
  using bench = new Bench();
  await using state = bench.open();
  const row = await state.journal.intend("a", "k", {});
  await state.journal.forget(row);
  await state.journal.forget(row);
  await assert.rejects(state.journal.done(row, {}), InternalError);
});

Deno.test("a transaction that throws leaves nothing, records and journal alike", async () => {
  using bench = new Bench();
  await using state = bench.open();
  assert.throws(() =>
    state.transaction(({ sandboxes, journal }) => {
      sandboxes.put("s1", {});
      journal.intend("s1", "k", {});
      throw new InternalError("changed my mind");
    }), /changed my mind/);
  assert.deepEqual(state.sandboxes.all(), []);
  assert.deepEqual(await state.journal.owners(), []);
  const row = state.transaction(({ sandboxes, journal }) => {
    sandboxes.put("s1", {});
    return journal.intend("s1", "k", {});
  });
  assert.equal((await state.journal.ofOwner("s1"))[0]?.row, row);
});

Deno.test("a transaction is neither nested nor asynchronous", async () => {
  using bench = new Bench();
  await using state = bench.open();
  assert.throws(() => state.transaction(() => state.transaction(() => {})), /inside another/);
  assert.throws(() => state.transaction(() => Promise.resolve()), /wait for a promise/);
  state.sandboxes.put("s1", {});
});

Deno.test("a full database is checkpointed, then asks the reserve, and repeats the transaction", async () => {
  using bench = new Bench();
  let released = 0;
  const reserve = { release: () => ++released === 1 };
  await using state = bench.open({ reserve });
  let calls = 0;
  state.transaction(({ sandboxes }) => {
    if (++calls <= 2) throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
    sandboxes.put("s1", {});
  });
  assert.deepEqual([calls, released, state.sandboxes.all().length], [3, 1, 1]);
  assert.throws(() =>
    state.transaction(() => {
      throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
    }), /Cannot write to the database .*pods.db: database or disk is full/);
});

Deno.test("checkpoints run in the worker, and the log stays bounded", async () => {
  using bench = new Bench();
  await using writer = new DurableWriter();
  await writer.start();
  await using state = bench.open({ checkpointer: writer });
  const value = { text: "x".repeat(2000) };
  for (let n = 0; n < 6000; n++) {
    state.sandboxes.put(`s${n % 50}`, value);
    if (n % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(Deno.statSync(`${bench.path}-wal`).size < 32 << 20);
  assert.ok(Deno.statSync(bench.path).size > 50 * 2000, "the worker wrote to the database");
  writer.terminate();
  state.sandboxes.put("after", {});
});

Deno.test("a database deleted while it is open does not come back by a checkpoint", async () => {
  using bench = new Bench();
  await using writer = new DurableWriter();
  await using state = bench.open({ checkpointer: writer });
  state.sandboxes.put("s1", {});
  await writer.checkpoint(bench.path);
  for (const suffix of ["", "-wal", "-shm"]) Deno.removeSync(bench.path + suffix);
  await assert.rejects(writer.checkpoint(bench.path));
  state.sandboxes.put("s2", {});
  assert.equal(state.sandboxes.all().length, 2, "the open connection goes on");
  await using again = bench.open();
  assert.equal(again.origin.kind, "created", "a new start knows that it must rebuild");
});
