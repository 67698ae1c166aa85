import assert from "node:assert/strict";
import type { JsonObject } from "../model/mod.ts";
import { LinuxContainerResources } from "../proto/mod.ts";
import {
  sandboxFromJson,
  sandboxIn,
  sandboxIps,
  sandboxKey,
  sandboxResources,
  sandboxToJson,
} from "./sandbox.ts";
import { sandboxRecord } from "./_test_records.ts";

Deno.test("a sandbox's record survives JSON, annotations with odd keys included", () => {
  const record = sandboxRecord({ kind: "ready", ips: ["10.0.0.2", "fd00::2"] }, {
    metadata: { name: "pod", namespace: "ns", uid: "u", attempt: 3 },
    annotations: { "constructor": "x", "a/b": "\u2603" },
  });
  const read = sandboxFromJson(JSON.parse(JSON.stringify(sandboxToJson(record))));
  assert.deepEqual(read, record);
});

Deno.test("sandboxIn() refuses to make a stopped sandbox ready again", () => {
  const stopped = sandboxRecord({ kind: "stopped", ips: [] });
  assert.throws(() => sandboxIn(stopped, { kind: "ready", ips: [] }), /from stopped to ready/);
});

Deno.test("a stopped sandbox keeps its addresses for its status", () => {
  assert.deepEqual(sandboxIps(sandboxRecord({ kind: "stopped", ips: ["10.0.0.2"] })), ["10.0.0.2"]);
});

Deno.test("sandboxKey() tells attempts of one pod apart", () => {
  const of = (attempt: number) =>
    sandboxKey(
      sandboxRecord({ kind: "creating" }, { metadata: { name: "p", uid: "u", attempt } }).config,
    );
  assert.notEqual(of(0), of(1));
});

Deno.test("sandboxKey() tells pods apart whose names hold underscores", () => {
  const of = (name: string, namespace: string) =>
    sandboxKey(
      sandboxRecord({ kind: "creating" }, { metadata: { name, namespace, uid: "u" } }).config,
    );
  assert.notEqual(of("a_b", "c"), of("a", "b_c"));
});

Deno.test("a sandbox's record keeps its PID namespace, whichever kind it is of", () => {
  const pidHolder = { pid: 7, startTime: "9", bootId: "boot" };
  const record = sandboxRecord({ kind: "ready", ips: [], pidHolder });
  const kinds = [
    { kind: "pinned", path: "/ns/pid/x" },
    { kind: "host" },
    { kind: "container" },
  ] as const;
  for (const pid of kinds) {
    const sandbox = { ...record, namespaces: { ...record.namespaces, pid } };
    const json = JSON.parse(JSON.stringify(sandboxToJson(sandbox))) as JsonObject;
    assert.deepEqual(sandboxFromJson(json), sandbox);
  }
});

Deno.test("a record from before pods could share their PID namespace is read", () => {
  const json = sandboxToJson(sandboxRecord({ kind: "ready", ips: [] }));
  const namespaces = json["namespaces"] as JsonObject;
  for (const pid of ["container", "host"] as const) {
    const old = { ...json, namespaces: { ...namespaces, pid } };
    assert.deepEqual(sandboxFromJson(old).namespaces.pid, { kind: pid });
  }
  assert.throws(() => sandboxFromJson({ ...json, namespaces: { ...namespaces, pid: {} } }));
});

Deno.test("a sandbox's record keeps what it may use since its last update, and one without has what was asked for", () => {
  const record = sandboxRecord({ kind: "ready", ips: [] }, {
    linux: { resources: { cpuShares: 100n }, overhead: { cpuShares: 2n } },
  });
  const reread = (of: typeof record) =>
    sandboxFromJson(JSON.parse(JSON.stringify(sandboxToJson(of))));
  assert.ok(!("updated" in sandboxToJson(record)));
  assert.equal(sandboxResources(reread(record)).resources?.cpuShares, 100n);
  const resources = LinuxContainerResources.fromPartial({
    memoryLimitInBytes: 2n ** 62n,
    unified: { "memory.high": "1" },
  });
  const read = reread({ ...record, updated: { resources } });
  assert.deepEqual(sandboxResources(read).resources, resources);
  assert.equal(sandboxResources(read).overhead?.cpuShares, 2n);
  assert.deepEqual(reread(read), read);
});
