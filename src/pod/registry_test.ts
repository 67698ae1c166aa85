import assert from "node:assert/strict";
import type { JsonObject } from "../model/mod.ts";
import { Container, ContainerFilter } from "../proto/mod.ts";
import { containerIn, type ContainerRecord } from "./container.ts";
import { containerMatches } from "./listing.ts";
import { PodRegistry } from "./registry.ts";
import { containerRecord, RUNNING, sandboxRecord } from "./_test_records.ts";

function memoryTable() {
  const rows = new Map<string, JsonObject>();
  return {
    rows,
    get: (id: string) => rows.get(id),
    all: () => [...rows].map(([id, value]) => ({ id, value })),
    put: (id: string, value: JsonObject) => void rows.set(id, value),
    delete: (id: string) => void rows.delete(id),
  };
}

function registryOf(...containers: ContainerRecord[]) {
  const tables = { sandboxes: memoryTable(), containers: memoryTable() };
  const mirrored: string[] = [];
  const registry = new PodRegistry({
    ...tables,
    mirror: {
      write: (_kind, id) => void mirrored.push(id),
      forget: () => Promise.resolve(),
    },
  });
  for (const record of containers) registry.putContainer(record);
  return { registry, tables, mirrored };
}

Deno.test("a record is in the table before it is visible, and gone from both when deleted", () => {
  const record = containerRecord(RUNNING);
  const { registry, tables } = registryOf(record);
  assert.ok(tables.containers.rows.has(record.id));
  registry.deleteContainer(record.id);
  assert.equal(tables.containers.rows.size, 0);
  assert.equal(registry.findContainer(record.id), undefined);
  assert.deepEqual(registry.containersOf(record.sandboxId), []);
});

Deno.test("what was never made is forgotten although its row cannot be deleted", () => {
  const container = containerRecord({ kind: "creating" });
  const sandbox = sandboxRecord({ kind: "creating" });
  const { registry, tables } = registryOf(container);
  registry.putSandbox(sandbox);
  const full = () => {
    throw new Error("disk is full");
  };
  tables.containers.delete = full;
  tables.sandboxes.delete = full;
  assert.throws(() => registry.discardContainer(container.id), /disk is full/);
  assert.throws(() => registry.discardSandbox(sandbox.id), /disk is full/);
  assert.ok(!registry.has(container.id) && !registry.has(sandbox.id));
  assert.deepEqual(registry.containersOf(container.sandboxId), []);
  assert.ok(tables.containers.rows.has(container.id), "the next start finds and undoes it");
});

Deno.test("a container is found by a unique prefix, and one that fits two is refused", () => {
  const one = { ...containerRecord(RUNNING), id: "ab1".padEnd(64, "0") as ContainerRecord["id"] };
  const two = { ...containerRecord(RUNNING), id: "ab2".padEnd(64, "0") as ContainerRecord["id"] };
  const { registry } = registryOf(one, two);
  assert.equal(registry.findContainer("ab1")?.id, one.id);
  assert.throws(() => registry.findContainer("ab"), /more than one id/);
  assert.equal(registry.findContainer(""), undefined);
});

Deno.test("a container being made is invisible to look-ups and to prefixes, and is not mirrored", () => {
  const record = containerRecord({ kind: "creating" });
  const { registry, mirrored } = registryOf(record);
  assert.equal(registry.findContainer(record.id.slice(0, 12)), undefined);
  assert.throws(() => registry.requireContainer(record.id), /There is no container/);
  assert.deepEqual(mirrored, []);
});

Deno.test("the encoded list entry follows the record's state", () => {
  const record = containerRecord(RUNNING);
  const { registry } = registryOf(record);
  assert.equal(Container.decode(registry.encodedContainer(record)).state, 1);
  const exited = containerIn(record, {
    kind: "exited",
    startedAtNs: 1n,
    finishedAtNs: 2n,
    exitCode: 0,
    reason: "Completed",
    message: "",
  });
  registry.putContainer(exited);
  assert.equal(Container.decode(registry.encodedContainer(exited)).state, 2);
});

Deno.test("every part of a filter must match, label keys of Object's prototype included", () => {
  const record = containerRecord(RUNNING, { labels: { app: "web" } });
  const matches = (filter: Parameters<typeof ContainerFilter.fromPartial>[0]) =>
    containerMatches(record, ContainerFilter.fromPartial(filter));
  assert.ok(matches({ labelSelector: { app: "web" }, state: { state: 1 } }));
  assert.ok(matches({ podSandboxId: record.sandboxId.slice(0, 8) }));
  assert.ok(!matches({ labelSelector: { app: "web", tier: "x" } }));
  assert.ok(!matches({ labelSelector: { constructor: "" } }));
  assert.ok(!matches({ state: { state: 2 } }));
});

Deno.test("a sandbox that is being removed is invisible", () => {
  const { registry } = registryOf();
  const record = sandboxRecord({ kind: "removing" });
  registry.loadSandbox(record);
  assert.equal(registry.findSandbox(record.id), undefined);
  assert.equal(registry.sandbox(record.id), record);
});
