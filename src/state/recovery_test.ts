import assert from "node:assert/strict";
import { InternalError, UnavailableError } from "../errors/mod.ts";
import type { Resource } from "./journal.ts";
import { PendingCleanup } from "./pending_cleanup.ts";
import { PodState } from "./pod_records.ts";
import { recover } from "./recovery.ts";
import { ResourceTypes } from "./resource_types.ts";
import { Undoer } from "./undoing.ts";

class Bench implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync();
  readonly state = PodState.open({ path: `${this.directory}/pods.db`, bootId: "boot-2" });
  readonly undone: string[] = [];
  readonly sameBoot: boolean[] = [];
  broken = true;
  readonly pending: PendingCleanup;
  readonly undoer: Undoer;

  constructor() {
    const { journal } = this.state;
    const type = (kind: string) => ({
      kind,
      parse: (payload: unknown) => payload,
      undo: (_: unknown, context: { resource: Resource; sameBoot: boolean }) => {
        if (kind === "broken" && this.broken) return Promise.reject(new UnavailableError("busy"));
        this.undone.push(`${context.resource.owner}/${kind}`);
        this.sameBoot.push(context.sameBoot);
        return Promise.resolve();
      },
    });
    this.undoer = new Undoer({
      journal,
      types: new ResourceTypes().register(type("a")).register(type("b")).register(type("broken")),
      bootId: "boot-2",
      onLeft: (resource, error) => this.pending.add(resource, error),
    });
    this.pending = new PendingCleanup({
      journal,
      undo: (resource) => this.undoer.undo("cleanup", resource),
      firstDelayMs: 20,
      maxDelayMs: 40,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.pending[Symbol.dispose]();
    await this.state[Symbol.asyncDispose]();
    await Deno.remove(this.directory, { recursive: true });
  }
}

Deno.test("recovery undoes what was not committed, newest first, and leaves the rest", async () => {
  await using bench = new Bench();
  const { journal } = bench.state;
  for (const owner of ["committed", "cut-off"]) {
    await journal.done(await journal.intend(owner, "a", {}), {});
    await journal.intend(owner, "b", {});
  }
  const report = await recover({
    journal,
    undoer: bench.undoer,
    isCommitted: (owner) => owner === "committed",
  });
  assert.deepEqual(bench.undone, ["cut-off/b", "cut-off/a"]);
  assert.deepEqual(report.map(({ kind, outcome }) => [kind, outcome.kind]), [
    ["b", "undone"],
    ["a", "undone"],
  ]);
  assert.deepEqual(await journal.owners(), ["committed"]);
});

Deno.test("an undo knows whether the resource is of this boot", async () => {
  await using bench = new Bench();
  bench.state.restore("sandboxes", {
    id: "old",
    value: {},
    resources: [{ owner: "old", kind: "a", payload: {}, state: "done", bootId: "boot-1" }],
  });
  await bench.state.journal.intend("old", "b", {});
  await recover({ journal: bench.state.journal, undoer: bench.undoer, isCommitted: () => false });
  assert.deepEqual(bench.sameBoot, [true, false]);
});

Deno.test("what cannot be undone is told, listed, tried again with back-off, and then gone", async () => {
  await using bench = new Bench();
  const { journal } = bench.state;
  await journal.intend("x", "broken", {});
  await journal.intend("x", "unknown-kind", {});
  const report = await recover({ journal, undoer: bench.undoer, isCommitted: () => false });
  assert.deepEqual(report.map(({ outcome }) => outcome.kind), ["failed", "failed"]);
  assert.ok(
    report.some(({ outcome }) =>
      outcome.kind === "failed" && outcome.error instanceof InternalError
    ),
    "a kind that nobody knows is an error of its own",
  );
  const listed = bench.pending.list();
  assert.deepEqual(listed.map(({ kind, attempts }) => [kind, attempts]), [
    ["unknown-kind", 1],
    ["broken", 1],
  ]);
  assert.equal(listed[1]?.error, "busy");
  await until(() =>
    bench.pending.list().some(({ kind, attempts }) => kind === "broken" && attempts > 2)
  );
  bench.broken = false;
  await until(() => bench.pending.list().every(({ kind }) => kind !== "broken"));
  assert.deepEqual((await journal.ofOwner("x")).map(({ kind }) => kind), ["unknown-kind"]);
});

Deno.test("a pending resource that someone else undid is forgotten without another undo", async () => {
  await using bench = new Bench();
  const { journal } = bench.state;
  await journal.intend("x", "broken", {});
  await recover({ journal, undoer: bench.undoer, isCommitted: () => false });
  bench.broken = false;
  await bench.undoer.undoAll("remove", await journal.ofOwner("x"));
  await until(() => bench.pending.list().length === 0);
  assert.deepEqual(bench.undone, ["x/broken"]);
});

async function until(condition: () => boolean): Promise<void> {
  const limit = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < limit, "waited too long");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
