/**
 * A pod sandbox as it is recorded: what was asked for, where it lives, and which state it is in.
 *
 * ```text
 *                ┌──► failed ──┐
 *  creating ──► ready ──────────┴──► stopping ──► stopped ──► removing ──► (gone)
 *      │                                                         ▲
 *      └──────────────────── undone: the row goes ───────────────┘ (removing from any committed state)
 * ```
 *
 * @module
 */
import { FailedPreconditionError, InternalError } from "../errors/mod.ts";
import { type JsonObject, parseSandboxId, type SandboxId } from "../model/mod.ts";
import { LinuxContainerResources, PodSandboxConfig, PodSandboxState } from "../proto/mod.ts";
import type { ProcessIdentity } from "../sys/watching.ts";

/** A namespace of the pod: pinned at a path, or the node's own. */
export type PodNamespace =
  | { readonly kind: "pinned"; readonly path: string }
  | { readonly kind: "host" };

/** Pinned: shared by the pod's containers. `container`: each has its own. */
export type PodPidNamespace = PodNamespace | { readonly kind: "container" };

export interface SandboxNamespaces {
  readonly net: PodNamespace;
  readonly ipc: PodNamespace;
  readonly uts: PodNamespace;
  readonly pid: PodPidNamespace;
}

export type SandboxState =
  /** Half made: invisible to every caller, undone at the next start. */
  | { readonly kind: "creating" }
  | {
    readonly kind: "ready";
    readonly ips: readonly string[];
    /** First process of the pod's PID namespace; absent if the pod has none of its own. */
    readonly pidHolder?: ProcessIdentity;
  }
  /** The process that holds its PID namespace has ended, and all in the namespace with it. */
  | { readonly kind: "failed"; readonly ips: readonly string[] }
  /** A stop was asked for; it goes on after a restart. */
  | {
    readonly kind: "stopping";
    readonly ips: readonly string[];
    /** It had failed before: its end is known already. */
    readonly failed?: true;
  }
  | { readonly kind: "stopped"; readonly ips: readonly string[] }
  /** Invisible again; the removal goes on after a restart. */
  | { readonly kind: "removing" };

/** What a pod may use, overhead of its runtime apart. */
export interface SandboxResources {
  readonly overhead?: LinuxContainerResources | undefined;
  readonly resources?: LinuxContainerResources | undefined;
}

export interface SandboxRecord {
  readonly id: SandboxId;
  readonly config: PodSandboxConfig;
  /** As the request named it; empty for the default. */
  readonly requestedHandler: string;
  /** The runtime handler in use. */
  readonly handler: string;
  /** Digest of the request's content, to tell a repeated request from another one. */
  readonly fingerprint: string;
  readonly createdAtNs: bigint;
  /** Boot in which its kernel objects were made. */
  readonly bootId: string;
  readonly namespaces: SandboxNamespaces;
  /** Cgroup below which its containers live. */
  readonly cgroupParent: string;
  /** Host name inside the pod. */
  readonly hostname: string;
  /** As it was last updated; what is absent is as the request that made the sandbox said. */
  readonly updated?: SandboxResources;
  readonly state: SandboxState;
}

const NEXT: Record<SandboxState["kind"], readonly SandboxState["kind"][]> = {
  creating: ["ready"],
  ready: ["failed", "stopping", "removing"],
  failed: ["stopping", "removing"],
  stopping: ["stopped", "removing"],
  stopped: ["removing"],
  removing: [],
};

/** The same sandbox in another state. @throws {InternalError} the transition is not legal */
export function sandboxIn(record: SandboxRecord, state: SandboxState): SandboxRecord {
  if (!NEXT[record.state.kind].includes(state.kind)) {
    throw new InternalError(
      `Sandbox ${record.id} cannot go from ${record.state.kind} to ${state.kind}`,
      { id: record.id },
    );
  }
  return { ...record, state };
}

/** The same sandbox with its stop asked for. @throws {InternalError} that is not legal */
export function stopping(record: SandboxRecord): SandboxRecord {
  return sandboxIn(record, {
    kind: "stopping",
    ips: sandboxIps(record),
    ...(record.state.kind === "failed" ? { failed: true } : {}),
  });
}

/** True for the states that callers may see. */
export function isVisible(record: SandboxRecord): boolean {
  return record.state.kind !== "creating" && record.state.kind !== "removing";
}

/** @throws {FailedPreconditionError} the sandbox is not ready: nothing is made or started in it */
export function requireReady(sandbox: SandboxRecord): SandboxRecord {
  if (sandbox.state.kind === "ready") return sandbox;
  throw new FailedPreconditionError(`Sandbox ${sandbox.id} is ${sandbox.state.kind}`, {
    id: sandbox.id,
    field: "pod_sandbox_id",
    remedy: "run a new sandbox",
  });
}

export function criSandboxState(record: SandboxRecord): PodSandboxState {
  return record.state.kind === "ready"
    ? PodSandboxState.SANDBOX_READY
    : PodSandboxState.SANDBOX_NOTREADY;
}

/** The pod's addresses, empty for host network or before it had any. */
export function sandboxIps(record: SandboxRecord): readonly string[] {
  return "ips" in record.state ? record.state.ips : [];
}

/** What makes a sandbox's name unique on a node: pod name, namespace, uid and attempt. */
export function sandboxKey(config: PodSandboxConfig): string {
  const { name = "", namespace = "", uid = "", attempt = 0 } = config.metadata ?? {};
  // No name holds a slash, so no two pods share a key.
  return [namespace, name, uid, attempt].join("/");
}

/** The request stays as the bytes that it came in, so that every field comes back verbatim. */
export function sandboxToJson(record: SandboxRecord): JsonObject {
  return {
    id: record.id,
    config: PodSandboxConfig.encode(record.config).finish().toBase64(),
    requestedHandler: record.requestedHandler,
    handler: record.handler,
    fingerprint: record.fingerprint,
    createdAtNs: record.createdAtNs.toString(),
    bootId: record.bootId,
    namespaces: namespacesToJson(record.namespaces),
    cgroupParent: record.cgroupParent,
    hostname: record.hostname,
    ...(record.updated === undefined ? {} : { updated: resourcesToJson(record.updated) }),
    state: stateToJson(record.state),
  };
}

/** Reads back what {@link sandboxToJson} wrote. @throws {InternalError} it is something else */
export function sandboxFromJson(json: JsonObject): SandboxRecord {
  try {
    return {
      id: parseSandboxId(String(json["id"])),
      config: PodSandboxConfig.decode(Uint8Array.fromBase64(String(json["config"]))),
      requestedHandler: String(json["requestedHandler"]),
      handler: String(json["handler"]),
      fingerprint: String(json["fingerprint"]),
      createdAtNs: BigInt(String(json["createdAtNs"])),
      bootId: String(json["bootId"]),
      namespaces: namespacesFromJson(json["namespaces"] as JsonObject),
      cgroupParent: String(json["cgroupParent"]),
      hostname: String(json["hostname"]),
      ...(json["updated"] === undefined
        ? {}
        : { updated: resourcesFromJson(json["updated"] as JsonObject) }),
      state: stateFromJson(json["state"]),
    };
  } catch (cause) {
    throw new InternalError("The record of a sandbox cannot be read", { cause });
  }
}

/** What the pod may use now. */
export function sandboxResources({ config, updated }: SandboxRecord): SandboxResources {
  return {
    overhead: updated?.overhead ?? config.linux?.overhead,
    resources: updated?.resources ?? config.linux?.resources,
  };
}

const RESOURCE_FIELDS = ["overhead", "resources"] as const;

function resourcesToJson(resources: SandboxResources): JsonObject {
  return Object.fromEntries(RESOURCE_FIELDS.flatMap((field) => {
    const value = resources[field];
    if (value === undefined) return [];
    return [[field, LinuxContainerResources.encode(value).finish().toBase64()]];
  }));
}

function resourcesFromJson(json: JsonObject): SandboxResources {
  return Object.fromEntries(RESOURCE_FIELDS.flatMap((field) => {
    const text = json[field];
    if (text === undefined) return [];
    return [[field, LinuxContainerResources.decode(Uint8Array.fromBase64(String(text)))]];
  }));
}

/** A PID namespace without a pin is a word, as it was before pods could have one. */
function namespacesToJson({ pid, ...others }: SandboxNamespaces): JsonObject {
  return { ...others, pid: pid.kind === "pinned" ? pid : pid.kind };
}

function namespacesFromJson(json: JsonObject): SandboxNamespaces {
  const { pid, ...others } = json;
  return {
    ...others as unknown as Omit<SandboxNamespaces, "pid">,
    pid: pid === "host" || pid === "container"
      ? { kind: pid }
      : { kind: "pinned", path: pinOf(pid as JsonObject) },
  };
}

function pinOf({ path }: JsonObject): string {
  if (typeof path !== "string") throw new TypeError("a PID namespace has no pin");
  return path;
}

function stateToJson(state: SandboxState): JsonObject {
  if (state.kind !== "ready" || state.pidHolder === undefined) return state as JsonObject;
  return { ...state, pidHolder: { ...state.pidHolder } };
}

function stateFromJson(json: unknown): SandboxState {
  const state = json as SandboxState;
  if (!Object.hasOwn(NEXT, state.kind)) throw new TypeError(`unknown sandbox state ${state.kind}`);
  return state;
}
