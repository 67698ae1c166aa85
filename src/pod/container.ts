/**
 * A container as it is recorded.
 *
 * ```text
 *  creating ──► created ──► running ──► exited ──► removing ──► (gone)
 *                  └────────────────────► ▲ (ended before it was started)
 * ```
 *
 * @module
 */
import { FailedPreconditionError, InternalError } from "../errors/mod.ts";
import {
  type ContainerId,
  type ImageId,
  type JsonObject,
  parseContainerId,
  parseImageId,
  parseSandboxId,
  type SandboxId,
} from "../model/mod.ts";
import { ContainerConfig, ContainerState as CriState } from "../proto/mod.ts";
import type { ContainerPlace } from "../runtime/containers_runtime.ts";
import type { ProcessIdentity } from "../sys/watching.ts";
import { limitsFromJson, limitsToJson, type RecordedLimits } from "./container_limits.ts";

export type ContainerState =
  | { readonly kind: "creating" }
  | {
    readonly kind: "created";
    readonly init: ProcessIdentity;
    readonly monitor: ProcessIdentity;
  }
  | {
    readonly kind: "running";
    readonly init: ProcessIdentity;
    readonly monitor: ProcessIdentity;
    readonly startedAtNs: bigint;
  }
  | {
    readonly kind: "exited";
    /** 0 if it never ran. */
    readonly startedAtNs: bigint;
    readonly finishedAtNs: bigint;
    readonly exitCode: number;
    readonly reason: "Completed" | "Error" | "OOMKilled" | "MonitorLost" | "NodeRestarted";
    readonly message: string;
  }
  | { readonly kind: "removing" };

/** Numeric identity of the container's first process, for its status. */
export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

export interface ContainerRecord {
  readonly id: ContainerId;
  readonly sandboxId: SandboxId;
  readonly config: ContainerConfig;
  readonly fingerprint: string;
  readonly createdAtNs: bigint;
  readonly bootId: string;
  readonly imageId: ImageId;
  /** First repository digest of the image, or its id: the CRI's `image_ref`. */
  readonly imageRef: string;
  /** What people know the image by. */
  readonly imageName: string;
  readonly place: ContainerPlace;
  /** Number of the signal that asks it to end. */
  readonly stopSignal: number;
  readonly user: ContainerUser;
  readonly limits: RecordedLimits;
  readonly state: ContainerState;
}

const NEXT: Record<ContainerState["kind"], readonly ContainerState["kind"][]> = {
  creating: ["created"],
  created: ["running", "exited", "removing"],
  running: ["exited"],
  exited: ["removing"],
  removing: [],
};

/** The same container in another state. @throws {InternalError} the transition is not legal */
export function containerIn(record: ContainerRecord, state: ContainerState): ContainerRecord {
  if (!NEXT[record.state.kind].includes(state.kind)) {
    throw new InternalError(
      `Container ${record.id} cannot go from ${record.state.kind} to ${state.kind}`,
      { id: record.id },
    );
  }
  return { ...record, state };
}

export function isVisible(record: ContainerRecord): boolean {
  return record.state.kind !== "creating" && record.state.kind !== "removing";
}

/** A container with a process: created or running. */
export type LiveContainer = ContainerRecord & {
  readonly state: Extract<ContainerState, { kind: "created" | "running" }>;
};

export function isLive(record: ContainerRecord): record is LiveContainer {
  return record.state.kind === "created" || record.state.kind === "running";
}

/** @throws {FailedPreconditionError} it is not running; says in which state it is */
export function requireRunning(record: ContainerRecord, purpose: string): LiveContainer {
  if (record.state.kind === "running") return record as LiveContainer;
  throw new FailedPreconditionError(
    `Container ${record.id} is ${record.state.kind}: cannot ${purpose}`,
    { id: record.id, field: "container_id", remedy: "only a running container can do this" },
  );
}

export function criContainerState(record: ContainerRecord): CriState {
  switch (record.state.kind) {
    case "created":
      return CriState.CONTAINER_CREATED;
    case "running":
      return CriState.CONTAINER_RUNNING;
    case "exited":
      return CriState.CONTAINER_EXITED;
    case "creating":
    case "removing":
      return CriState.CONTAINER_UNKNOWN;
    default: {
      const never: never = record.state;
      return never;
    }
  }
}

/** What makes a container's name unique in its sandbox. */
export function containerKey(sandbox: SandboxId, config: ContainerConfig): string {
  return [sandbox, config.metadata?.name ?? "", config.metadata?.attempt ?? 0].join("_");
}

/** The request stays as the bytes that it came in, so that every field comes back verbatim. */
export function containerToJson(record: ContainerRecord): JsonObject {
  return {
    id: record.id,
    sandboxId: record.sandboxId,
    config: ContainerConfig.encode(record.config).finish().toBase64(),
    fingerprint: record.fingerprint,
    createdAtNs: record.createdAtNs.toString(),
    bootId: record.bootId,
    imageId: record.imageId,
    imageRef: record.imageRef,
    imageName: record.imageName,
    place: { ...record.place },
    stopSignal: record.stopSignal,
    user: { ...record.user },
    limits: limitsToJson(record.limits),
    state: stateToJson(record.state),
  };
}

/** Reads back what {@link containerToJson} wrote. @throws {InternalError} it is something else */
export function containerFromJson(json: JsonObject): ContainerRecord {
  try {
    const config = ContainerConfig.decode(Uint8Array.fromBase64(String(json["config"])));
    return {
      id: parseContainerId(String(json["id"])),
      sandboxId: parseSandboxId(String(json["sandboxId"])),
      config,
      fingerprint: String(json["fingerprint"]),
      createdAtNs: BigInt(String(json["createdAtNs"])),
      bootId: String(json["bootId"]),
      imageId: parseImageId(String(json["imageId"])),
      imageRef: String(json["imageRef"]),
      // Absent in records of the first builds.
      imageName: String(json["imageName"] ?? config.image?.image ?? ""),
      place: json["place"] as unknown as ContainerPlace,
      stopSignal: Number(json["stopSignal"]),
      user: json["user"] as unknown as ContainerUser,
      limits: limitsFromJson(
        json["limits"] as JsonObject | undefined,
        config.linux?.resources,
      ),
      state: stateFromJson(json["state"] as JsonObject),
    };
  } catch (cause) {
    throw new InternalError("The record of a container cannot be read", { cause });
  }
}

function stateToJson(state: ContainerState): JsonObject {
  switch (state.kind) {
    case "creating":
    case "removing":
      return { kind: state.kind };
    case "created":
      return { kind: state.kind, init: { ...state.init }, monitor: { ...state.monitor } };
    case "running":
      return {
        kind: state.kind,
        init: { ...state.init },
        monitor: { ...state.monitor },
        startedAtNs: state.startedAtNs.toString(),
      };
    case "exited":
      return {
        ...state,
        startedAtNs: state.startedAtNs.toString(),
        finishedAtNs: state.finishedAtNs.toString(),
      };
    default: {
      const never: never = state;
      return never;
    }
  }
}

function stateFromJson(json: JsonObject): ContainerState {
  const kind = json["kind"] as ContainerState["kind"];
  if (!Object.hasOwn(NEXT, kind)) throw new TypeError(`unknown container state ${kind}`);
  const state: Record<string, unknown> = { ...json };
  for (const field of ["startedAtNs", "finishedAtNs"]) {
    if (state[field] !== undefined) state[field] = BigInt(String(state[field]));
  }
  return state as unknown as ContainerState;
}
