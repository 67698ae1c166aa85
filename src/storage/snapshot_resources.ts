/**
 * The resources of a container's root file system: its directory and its mount. Both are named by the
 * container alone, so that no damaged row can point anywhere else.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import {
  type ChainId,
  type ContainerId,
  isDigest,
  type JsonObject,
  parseContainerId,
} from "../model/mod.ts";
import type { Intent, Resource, ResourceType } from "../state/mod.ts";
import type { Snapshots } from "./snapshots.ts";

export const SNAPSHOT_DIRECTORY = "snapshot-directory";
export const SNAPSHOT_MOUNT = "snapshot-mount";

export interface SnapshotResource {
  readonly containerId: ContainerId;
}

const REMOVAL_DEADLINE_MS = 15 * 60_000;

/** Payload of both kinds. */
export function snapshotPayload(containerId: ContainerId): JsonObject {
  return { containerId };
}

/** The intent of a step that calls `prepare`: undoing it unmounts and removes all that `prepare` makes. */
export function snapshotIntent(containerId: ContainerId, top: ChainId | null): Intent {
  return { kind: SNAPSHOT_DIRECTORY, payload: { ...snapshotPayload(containerId), top } };
}

/** The topmost layer that a container's root file system stands on, if the resource is one. */
export function snapshotLayer({ kind, payload: { top } }: Resource): ChainId | undefined {
  return kind === SNAPSHOT_DIRECTORY && typeof top === "string" && isDigest(top)
    ? top as string as ChainId
    : undefined;
}

/** Undo removes the writable layer, unmounting it first if need be. */
export function snapshotDirectoryType(
  snapshots: Pick<Snapshots, "remove">,
): ResourceType<SnapshotResource> {
  return {
    kind: SNAPSHOT_DIRECTORY,
    undoDeadlineMs: REMOVAL_DEADLINE_MS,
    parse: (payload) => parse(SNAPSHOT_DIRECTORY, payload),
    undo: ({ containerId }) => snapshots.remove(containerId),
  };
}

/** Undo unmounts; a mount of an earlier boot is gone by itself. */
export function snapshotMountType(
  snapshots: Pick<Snapshots, "unmount">,
): ResourceType<SnapshotResource> {
  return {
    kind: SNAPSHOT_MOUNT,
    parse: (payload) => parse(SNAPSHOT_MOUNT, payload),
    undo: async ({ containerId }, { sameBoot }) => {
      if (sameBoot) await snapshots.unmount(containerId);
    },
  };
}

function parse(kind: string, payload: JsonObject): SnapshotResource {
  try {
    return { containerId: parseContainerId(String(payload.containerId)) };
  } catch (cause) {
    throw new InternalError(`The record of a ${kind} names no container`, { cause });
  }
}
