/**
 * Events of pods and containers, as the CRI names them: which change of a record is which event.
 * An event of a pod has the sandbox's id in the place of the container's.
 *
 * @module
 */
import type { ContainerId, SandboxId } from "../model/mod.ts";
import { type ContainerEventResponse, ContainerEventType } from "../proto/mod.ts";
import type { ContainerRecord } from "./container.ts";
import { containerStatus } from "./container_status.ts";
import type { SandboxRecord } from "./sandbox.ts";
import { sandboxStatus } from "./sandbox_status.ts";

/** A committed change, with the pod as it was just then. Records are never changed, so it stays true. */
export interface PodEvent {
  readonly id: ContainerId | SandboxId;
  readonly type: ContainerEventType;
  /** Later than that of every earlier event. */
  readonly createdAtNs: bigint;
  /** Undefined if its record cannot be read. */
  readonly sandbox: SandboxRecord | undefined;
  /** Of the pod, those that callers may see. */
  readonly containers: readonly ContainerRecord[];
}

/** What became of a record; undefined stands for none. */
export interface Change<R> {
  readonly before: R | undefined;
  readonly after: R | undefined;
}

const {
  CONTAINER_CREATED_EVENT,
  CONTAINER_STARTED_EVENT,
  CONTAINER_STOPPED_EVENT,
  CONTAINER_DELETED_EVENT,
} = ContainerEventType;

/** A half-made container that is undone was never there, and a removal is told when it is over. */
export function containerEvents(
  { before, after }: Change<ContainerRecord>,
): readonly ContainerEventType[] {
  if (after === undefined) return wasMade(before) ? [CONTAINER_DELETED_EVENT] : [];
  const { kind } = after.state;
  if (kind === before?.state.kind) return [];
  switch (kind) {
    case "created":
      return [CONTAINER_CREATED_EVENT];
    case "running":
      return [CONTAINER_STARTED_EVENT];
    case "exited":
      return [CONTAINER_STOPPED_EVENT];
    case "creating":
    case "removing":
      return [];
    default: {
      const never: never = kind;
      return never;
    }
  }
}

/** A pod is created and started in one step. */
export function sandboxEvents(
  { before, after }: Change<SandboxRecord>,
): readonly ContainerEventType[] {
  if (after === undefined) return wasMade(before) ? [CONTAINER_DELETED_EVENT] : [];
  const { kind } = after.state;
  if (kind === before?.state.kind) return [];
  switch (kind) {
    case "ready":
      return [CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT];
    case "failed":
    case "stopped":
      return [CONTAINER_STOPPED_EVENT];
    case "creating":
    case "stopping":
    case "removing":
      return [];
    default: {
      const never: never = kind;
      return never;
    }
  }
}

export function eventMessage(event: PodEvent): ContainerEventResponse {
  return {
    containerId: event.id,
    containerEventType: event.type,
    createdAt: event.createdAtNs,
    podSandboxStatus: event.sandbox && sandboxStatus(event.sandbox),
    containersStatuses: event.containers.map(containerStatus),
  };
}

function wasMade(record: ContainerRecord | SandboxRecord | undefined): boolean {
  return record !== undefined && record.state.kind !== "creating";
}
