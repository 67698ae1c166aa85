import assert from "node:assert/strict";
import { errorKind, SauropodError } from "../errors/mod.ts";
import { ContainerConfig, NamespaceMode, type NamespaceOption } from "../proto/mod.ts";
import { type ContainerRecord } from "./container.ts";
import { type ContainerPidNamespace, ownsPidNamespace, pidNamespaceOf } from "./pid_namespace.ts";
import type { PodPidNamespace, SandboxRecord } from "./sandbox.ts";
import { containerRecord, RUNNING, sandboxRecord } from "./_test_records.ts";

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;
const PINNED: PodPidNamespace = { kind: "pinned", path: "/ns/pid/pod" };
const OWN: PodPidNamespace = { kind: "container" };
const HOST: PodPidNamespace = { kind: "host" };

function configOf(options?: Partial<NamespaceOption>): ContainerConfig {
  return ContainerConfig.fromPartial(
    options === undefined ? {} : { linux: { securityContext: { namespaceOptions: options } } },
  );
}

function sandboxOf(pid: PodPidNamespace): SandboxRecord {
  const record = sandboxRecord({ kind: "ready", ips: [] });
  return { ...record, namespaces: { ...record.namespaces, pid } };
}

function outcome(
  sandbox: SandboxRecord,
  options: Partial<NamespaceOption> | undefined,
  known?: ContainerRecord,
): ContainerPidNamespace | string {
  try {
    return pidNamespaceOf({ config: configOf(options), sandbox }, {
      find: (id) => known?.id === id ? known : undefined,
      pin: "/ns/pid/container",
    });
  } catch (error) {
    if (!(error instanceof SauropodError)) throw error;
    return `${errorKind(error)} ${error.details.field?.split(".").at(-1)}`;
  }
}

Deno.test("a container is in the PID namespace that it asks for, as far as its pod allows", () => {
  const table: [PodPidNamespace, NamespaceMode | undefined, ContainerPidNamespace | string][] = [
    [PINNED, undefined, PINNED],
    [PINNED, POD, PINNED],
    [PINNED, CONTAINER, OWN],
    [PINNED, NODE, "failed_precondition pid"],
    [OWN, undefined, OWN],
    [OWN, POD, "failed_precondition pid"],
    [OWN, CONTAINER, OWN],
    [OWN, NODE, "failed_precondition pid"],
    [HOST, undefined, HOST],
    [HOST, POD, HOST],
    [HOST, CONTAINER, OWN],
    [HOST, NODE, HOST],
  ];
  for (const [pod, pid, expected] of table) {
    const options = pid === undefined ? undefined : { pid };
    assert.deepEqual(outcome(sandboxOf(pod), options), expected, `${pod.kind} ${pid}`);
  }
});

Deno.test("a target is pinned only where its PID namespace ends with it", () => {
  const table: [PodPidNamespace, NamespaceMode | undefined, string][] = [
    [PINNED, undefined, "pinned"],
    [PINNED, POD, "pinned"],
    [PINNED, CONTAINER, "target"],
    [PINNED, TARGET, "target"],
    [OWN, undefined, "target"],
    [OWN, CONTAINER, "target"],
    [HOST, NODE, "host"],
    [HOST, CONTAINER, "target"],
  ];
  for (const [pod, pid, expected] of table) {
    const sandbox = sandboxOf(pod);
    const target = {
      ...containerRecord(RUNNING, { sandboxId: sandbox.id }),
      config: configOf(pid === undefined ? undefined : { pid }),
    };
    const found = outcome(sandbox, { pid: TARGET, targetId: target.id }, target);
    assert.ok(typeof found === "object", String(found));
    assert.equal(found.kind, expected, `${pod.kind} ${pid}`);
  }
});

Deno.test("a target must run, in the same pod", () => {
  const sandbox = sandboxOf(OWN);
  const of = (record: ContainerRecord) =>
    outcome(sandbox, { pid: TARGET, targetId: record.id }, record);
  assert.equal(of(containerRecord(RUNNING)), "invalid_argument target_id");
  const created = { kind: "created", init: RUNNING.init, monitor: RUNNING.monitor } as const;
  assert.equal(
    of(containerRecord(created, { sandboxId: sandbox.id })),
    "failed_precondition target_id",
  );
  assert.equal(outcome(sandbox, { pid: TARGET, targetId: "unknown" }), "not_found target_id");
});

Deno.test("only a container with a PID namespace of its own takes all its processes along", () => {
  const owns = (pod: PodPidNamespace, pid?: NamespaceMode) =>
    ownsPidNamespace({
      config: configOf(pid === undefined ? undefined : { pid }),
      sandbox: sandboxOf(pod),
    });
  assert.deepEqual([OWN, PINNED, HOST].map((pod) => owns(pod)), [true, false, false]);
  assert.deepEqual(
    [POD, CONTAINER, NODE, TARGET].map((pid) => owns(PINNED, pid)),
    [false, true, false, false],
  );
});
