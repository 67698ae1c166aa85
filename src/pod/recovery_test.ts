import assert from "node:assert/strict";
import { SystemClock } from "../model/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { containerToJson } from "./container.ts";
import { recoverPods, type RecoveryOptions } from "./recovery.ts";
import { PodRegistry } from "./registry.ts";
import { sandboxToJson } from "./sandbox.ts";
import { containerRecord, RUNNING, sandboxRecord } from "./_test_records.ts";

function recovery(options: Partial<RecoveryOptions> = {}) {
  const table = { get: () => undefined, all: () => [], put: () => {}, delete: () => {} };
  const registry = new PodRegistry({
    sandboxes: table,
    containers: table,
    mirror: { write: () => {}, forget: () => Promise.resolve() },
  });
  const recovered: RecoveryOptions = {
    registry,
    runner: {} as never,
    sandboxes: { takeOverHostPorts: () => {} } as never,
    containers: { reap: () => Promise.resolve() } as never,
    updater: {} as never,
    exits: {} as never,
    pidHolders: { isHeld: () => true, watch: () => {} },
    runtime: {} as never,
    clock: new SystemClock(),
    bootId: "another boot",
    log: silentLogger,
    copies: {} as never,
    ...options,
  };
  return { registry, options: recovered };
}

Deno.test("times after a restart are later than those recorded before it", async () => {
  const { registry, options } = recovery();
  const future = options.clock.nowNs() + 3_600_000_000_000n;
  const record = containerRecord({ ...RUNNING, startedAtNs: future } as typeof RUNNING);
  const report = await recoverPods(options, {
    sandboxes: [],
    containers: [{ id: record.id, value: containerToJson(record) }],
  });
  await report.resumed;
  const state = registry.container(record.id)!.state;
  assert.ok(state.kind === "exited" && state.finishedAtNs > state.startedAtNs);
  assert.ok(options.clock.nowNs() > future);
});

Deno.test("an interrupted stop that hangs does not hold up the others", async () => {
  const records = [0, 1, 2].map(() => sandboxRecord({ kind: "stopping", ips: [] }));
  const begun = new Set<string>();
  const hanging = Promise.withResolvers<void>();
  const { options } = recovery({
    sandboxes: {
      takeOverHostPorts: () => {},
      resumeStop: (id: string) => {
        begun.add(id);
        return id === records[0]!.id ? hanging.promise : Promise.resolve();
      },
    } as never,
  });
  const report = await recoverPods(options, {
    sandboxes: records.map((record) => ({ id: record.id, value: sandboxToJson(record) })),
    containers: [],
  });
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(begun.size, 3);
  hanging.resolve();
  await report.resumed;
});

Deno.test("a pod of an earlier boot that had failed is stopped as one that had", async () => {
  const resumed: string[] = [];
  const { registry, options } = recovery({
    sandboxes: {
      takeOverHostPorts: () => {},
      resumeStop: (id: string) => Promise.resolve(void resumed.push(id)),
    } as never,
  });
  const record = sandboxRecord({ kind: "failed", ips: ["10.0.0.2"] });
  const report = await recoverPods(options, {
    sandboxes: [{ id: record.id, value: sandboxToJson(record) }],
    containers: [],
  });
  await report.resumed;
  assert.deepEqual(resumed, [record.id]);
  assert.deepEqual(registry.sandbox(record.id)?.state, {
    kind: "stopping",
    ips: ["10.0.0.2"],
    failed: true,
  });
});
