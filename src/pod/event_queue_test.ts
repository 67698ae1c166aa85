import assert from "node:assert/strict";
import { type ContainerId, newContainerId } from "../model/mod.ts";
import { ContainerEventType } from "../proto/mod.ts";
import type { PodEvent } from "./event.ts";
import { EventQueue, withoutObsolete } from "./event_queue.ts";

const { CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT } = ContainerEventType;
const { CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } = ContainerEventType;
const LIFE = [
  CONTAINER_CREATED_EVENT,
  CONTAINER_STARTED_EVENT,
  CONTAINER_STOPPED_EVENT,
  CONTAINER_DELETED_EVENT,
];

let serial = 0n;

function event(id: ContainerId, type: ContainerEventType, weight = 1): PodEvent {
  return { id, type, createdAtNs: ++serial, pod: { sandbox: undefined, containers: [] }, weight };
}

function drained(queue: EventQueue): PodEvent[] {
  const all = [];
  for (let next = queue.take(); next !== undefined; next = queue.take()) all.push(next);
  return all;
}

Deno.test("a reader that keeps up with the limit is told everything, in order", () => {
  const queue = new EventQueue({ unmerged: 8, gone: 8, bytes: 1 << 20 });
  const events = [newContainerId(), newContainerId()].flatMap((id) =>
    LIFE.map((type) => event(id, type))
  );
  for (const one of events) queue.push(one);
  assert.deepEqual(drained(queue), events);
  assert.equal(queue.size, 0);
});

Deno.test("merging keeps of each container the last event and its end, in their order", () => {
  const [a, b] = [newContainerId(), newContainerId()];
  const events = [...LIFE.slice(0, 3).map((type) => event(a, type)), event(b, LIFE[0]!)];
  events.push(event(a, CONTAINER_DELETED_EVENT), event(b, CONTAINER_STARTED_EVENT));
  assert.deepEqual(withoutObsolete(events), [events[2], events[4], events[5]]);
});

Deno.test("a reader that takes nothing is told of every end, and costs what there are containers", () => {
  const queue = new EventQueue({ unmerged: 10, gone: 1_000, bytes: 1 << 20 });
  const ids = Array.from({ length: 200 }, newContainerId);
  const ends: PodEvent[] = [];
  for (const type of LIFE.slice(0, 3)) {
    for (const id of ids) {
      const one = event(id, type);
      if (type === CONTAINER_STOPPED_EVENT) ends.push(one);
      queue.push(one);
    }
  }
  assert.ok(queue.size <= 2 * ids.length, `${queue.size} wait`);
  const told = drained(queue);
  assert.deepEqual(told.filter(({ type }) => type === CONTAINER_STOPPED_EVENT), ends);
  const times = told.map(({ createdAtNs }) => createdAtNs);
  assert.deepEqual(times, times.toSorted((x, y) => Number(x - y)));
});

Deno.test("ends stay although a reader takes a few now and then", () => {
  const queue = new EventQueue({ unmerged: 4, gone: 1_000, bytes: 1 << 20 });
  const told: PodEvent[] = [];
  const ids = Array.from({ length: 100 }, newContainerId);
  for (const [index, id] of ids.entries()) {
    for (const type of LIFE) queue.push(event(id, type));
    const next = index % 3 === 0 ? queue.take() : undefined;
    if (next !== undefined) told.push(next);
  }
  told.push(...drained(queue));
  const ended = told.filter(({ type }) => type === CONTAINER_STOPPED_EVENT).map(({ id }) => id);
  assert.deepEqual(ended, ids);
});

Deno.test("a reader that is too many dead containers behind is told to list", () => {
  const queue = new EventQueue({ unmerged: 4, gone: 10, bytes: 1 << 20 });
  assert.throws(() => {
    for (let i = 0; i < 100; i++) {
      const id = newContainerId();
      for (const type of LIFE) queue.push(event(id, type));
    }
  }, /at most 10 of those are kept/);
});

Deno.test("a reader for whom too many bytes wait is told to list", () => {
  const queue = new EventQueue({ unmerged: 4, gone: 1_000, bytes: 100_000 });
  assert.throws(() => {
    for (let i = 0; i < 100; i++) {
      queue.push(event(newContainerId(), CONTAINER_CREATED_EVENT, 10_000));
    }
  }, /about 110000 bytes/);
});

Deno.test("few events that weigh much are merged, too, and end a reader that is too far behind", () => {
  const queue = new EventQueue({ unmerged: 1_000, gone: 1_000, bytes: 100_000 });
  const id = newContainerId();
  const life = LIFE.slice(0, 3).map((type) => event(id, type, 40_000));
  for (const one of life) queue.push(one);
  assert.equal(queue.size, 1, "only its end is left");
  queue.push(event(newContainerId(), CONTAINER_CREATED_EVENT, 40_000));
  assert.throws(
    () => queue.push(event(newContainerId(), CONTAINER_CREATED_EVENT, 40_000)),
    /3 events of about 120000 bytes/,
  );
  assert.equal(queue.size, 0, "what was too much is not held on to");
});

Deno.test("what was taken counts no more, and one that keeps up is told everything", () => {
  const queue = new EventQueue({ unmerged: 1_000, gone: 1_000, bytes: 100_000 });
  for (let i = 0; i < 10; i++) {
    const id = newContainerId();
    const events = LIFE.slice(0, 2).map((type) => event(id, type, 30_000));
    for (const one of events) queue.push(one);
    assert.deepEqual(drained(queue), events);
  }
});
