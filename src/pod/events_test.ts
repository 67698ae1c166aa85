import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { JsonObject } from "../model/mod.ts";
import { SystemClock } from "../model/mod.ts";
import {
  type ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  type ContainerStatus,
} from "../proto/mod.ts";
import { containerRecord, RUNNING, sandboxRecord } from "./_test_records.ts";
import { containerIn } from "./container.ts";
import { PodEvents } from "./events.ts";
import { EVENT_QUEUE_LIMITS } from "./event_queue.ts";
import { PodRegistry } from "./registry.ts";
import {
  sandboxFromJson,
  sandboxIn,
  type SandboxRecord,
  sandboxToJson,
  stopping,
} from "./sandbox.ts";

const EXITED = {
  kind: "exited",
  startedAtNs: 5n,
  finishedAtNs: 6n,
  exitCode: 3,
  reason: "Error",
  message: "",
} as const;

function observed(limits = EVENT_QUEUE_LIMITS) {
  const table = () => {
    const rows = new Map<string, JsonObject>();
    return {
      get: (id: string) => rows.get(id),
      all: () => [],
      put: (id: string, value: JsonObject) => void rows.set(id, value),
      delete: (id: string) => void rows.delete(id),
    };
  };
  const registry = new PodRegistry({
    sandboxes: table(),
    containers: table(),
    mirror: { write() {}, forget: () => Promise.resolve() },
  });
  const events = new PodEvents({ registry, clock: new SystemClock(), limits });
  registry.observe(events);
  return { registry, events };
}

const { CREATED, STARTED, STOPPED, DELETED } = {
  CREATED: ContainerEventType.CONTAINER_CREATED_EVENT,
  STARTED: ContainerEventType.CONTAINER_STARTED_EVENT,
  STOPPED: ContainerEventType.CONTAINER_STOPPED_EVENT,
  DELETED: ContainerEventType.CONTAINER_DELETED_EVENT,
};

async function take(
  reader: AsyncIterable<ContainerEventResponse>,
  count: number,
): Promise<ContainerEventResponse[]> {
  const all: ContainerEventResponse[] = [];
  const iterator = reader[Symbol.asyncIterator]();
  while (all.length < count) {
    const { value, done } = await iterator.next();
    assert.ok(done !== true);
    all.push(value);
  }
  return all;
}

Deno.test("the life of a container is told in order to each reader, with the pod as it was then", async () => {
  const { registry, events } = observed();
  const gone = new AbortController();
  const readers = [events.read(gone.signal), events.read(gone.signal)];
  const sandbox = sandboxRecord({ kind: "ready", ips: [] });
  registry.putSandbox(sandbox);
  const made = containerRecord({ kind: "creating" }, { sandboxId: sandbox.id });
  const { init, monitor } = RUNNING;
  const created = containerIn(made, { kind: "created", init, monitor });
  const running = containerIn(created, RUNNING);
  const exited = containerIn(running, EXITED);
  // The same state twice is one event.
  const steps = [
    made,
    created,
    running,
    running,
    exited,
    containerIn(exited, { kind: "removing" }),
  ];
  for (const record of steps) registry.putContainer(record);
  registry.deleteContainer(made.id);
  for (const reader of readers) {
    const told = await take(reader, 6);
    assert.deepEqual(
      told.map(({ containerId, containerEventType }) => [containerId, containerEventType]),
      [
        [sandbox.id, CREATED],
        [sandbox.id, STARTED],
        [made.id, CREATED],
        [made.id, STARTED],
        [made.id, STOPPED],
        [made.id, DELETED],
      ],
    );
    const end = told[4]?.containersStatuses[0];
    assert.equal(end?.state, ContainerState.CONTAINER_EXITED);
    assert.equal(end?.exitCode, 3);
    assert.equal(told[3]?.containersStatuses[0]?.state, ContainerState.CONTAINER_RUNNING);
    assert.equal(told[4]?.podSandboxStatus?.id, sandbox.id);
    assert.deepEqual(told[5]?.containersStatuses, []);
  }
  gone.abort();
  assert.equal(events.readers, 0);
});

/** The states of a pod from its failure to its removal. */
function endOfFailed(ready: SandboxRecord): SandboxRecord[] {
  const failed = sandboxIn(ready, { kind: "failed", ips: [] });
  const stop = stopping(failed);
  const stopped = sandboxIn(stop, { kind: "stopped", ips: [] });
  return [failed, stop, stopped, sandboxIn(stopped, { kind: "removing" })];
}

Deno.test("a pod whose PID namespace ended is told as stopped once", async () => {
  const { registry, events } = observed();
  const gone = new AbortController();
  const reader = events.read(gone.signal);
  const sandbox = sandboxRecord({ kind: "ready", ips: [] });
  registry.putSandbox(sandbox);
  for (const record of endOfFailed(sandbox)) registry.putSandbox(record);
  registry.deleteSandbox(sandbox.id);
  const told = await take(reader, 4);
  assert.deepEqual(told.map((one) => one.containerEventType), [CREATED, STARTED, STOPPED, DELETED]);
  gone.abort();
});

Deno.test("a pod that failed before our restart is not told as stopped again, wherever in its stop the restart comes", async () => {
  const sandbox = sandboxRecord({ kind: "ready", ips: [] });
  const steps = endOfFailed(sandbox);
  for (const restart of steps.keys()) {
    const { registry, events } = observed();
    const gone = new AbortController();
    const reader = events.read(gone.signal);
    const [found, ...left] = steps.slice(restart);
    registry.loadSandbox(sandboxFromJson(sandboxToJson(found!)));
    for (const record of left) registry.putSandbox(record);
    registry.deleteSandbox(sandbox.id);
    const [told] = await take(reader, 1);
    assert.equal(told?.containerEventType, DELETED, `after ${found?.state.kind}`);
    gone.abort();
  }
});

Deno.test("what was never made is no event", async () => {
  const { registry, events } = observed();
  const gone = new AbortController();
  const reader = events.read(gone.signal);
  const sandbox = sandboxRecord({ kind: "creating" });
  registry.putSandbox(sandbox);
  const container = containerRecord({ kind: "creating" }, { sandboxId: sandbox.id });
  registry.putContainer(container);
  registry.discardContainer(container.id);
  registry.discardSandbox(sandbox.id);
  const next = take(reader, 1);
  gone.abort(new Error("enough"));
  await assert.rejects(next, /reader of events has gone/);
});

Deno.test("a reader that goes away is let go of, one that waits when the server stops is told", async () => {
  const { registry, events } = observed();
  const [first, second] = [new AbortController(), new AbortController()];
  const one = events.read(first.signal);
  const other = events.read(second.signal);
  const waiting = take(other, 1);
  assert.equal(events.readers, 2);
  first.abort();
  assert.equal(events.readers, 1);
  await assert.rejects(take(one, 1), /has gone/);
  events[Symbol.dispose]();
  await assert.rejects(waiting, /The server stops/);
  assert.equal(events.readers, 0);
  registry.putSandbox(sandboxRecord({ kind: "ready", ips: [] }));
  await assert.rejects(take(events.read(new AbortController().signal), 1), /The server stops/);
});

Deno.test("a reader that is too far behind keeps nothing of what waited for it", async () => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const { registry, events } = observed({ unmerged: 1, gone: 100, bytes: 10_000 });
  const gone = new AbortController();
  const stalled = events.read(gone.signal);
  const keen = events.read(gone.signal);
  const { init, monitor } = RUNNING;
  const told: WeakRef<ContainerStatus>[] = [];
  const comeAndGo = async () => {
    const made = containerRecord({ kind: "creating" });
    registry.putContainer(made);
    const created = containerIn(made, { kind: "created", init, monitor });
    registry.putContainer(created);
    const [event] = await take(keen, 1);
    told.push(new WeakRef(event!.containersStatuses[0]!));
    registry.putContainer(containerIn(created, EXITED));
    registry.deleteContainer(made.id);
    await take(keen, 2);
  };
  while (events.readers === 2) await comeAndGo();
  // What a promise was resolved with last may be kept to the end of the turn.
  await new Promise((resolve) => setTimeout(resolve));
  collect();
  assert.deepEqual(told.filter((each) => each.deref() !== undefined), []);
  await assert.rejects(take(stalled, 1), { kind: "resource_exhausted" });
  gone.abort();
});
