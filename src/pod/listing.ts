/**
 * List messages of sandboxes and containers, and the filters of the list calls.
 *
 * @module
 */
import {
  Container,
  type ContainerFilter,
  PodSandbox,
  type PodSandboxFilter,
} from "../proto/mod.ts";
import {
  type ContainerRecord,
  criContainerState,
  isVisible as containerVisible,
} from "./container.ts";
import { criSandboxState, isVisible as sandboxVisible, type SandboxRecord } from "./sandbox.ts";

/** One encoded `PodSandbox` message. */
export function listedSandbox(record: SandboxRecord): Uint8Array {
  return PodSandbox.encode({
    id: record.id,
    metadata: record.config.metadata,
    state: criSandboxState(record),
    createdAt: record.createdAtNs,
    labels: record.config.labels,
    annotations: record.config.annotations,
    runtimeHandler: record.requestedHandler,
  }).finish();
}

/** One encoded `Container` message. */
export function listedContainer(record: ContainerRecord): Uint8Array {
  return Container.encode({
    id: record.id,
    podSandboxId: record.sandboxId,
    metadata: record.config.metadata,
    image: record.config.image,
    imageRef: record.imageRef,
    imageId: record.imageId,
    state: criContainerState(record),
    createdAt: record.createdAtNs,
    labels: record.config.labels,
    annotations: record.config.annotations,
  }).finish();
}

/** True if the sandbox passes every part of the filter that is set. */
export function sandboxMatches(
  record: SandboxRecord,
  filter: PodSandboxFilter | undefined,
): boolean {
  if (!sandboxVisible(record)) return false;
  if (filter === undefined) return true;
  if (!record.id.startsWith(filter.id)) return false;
  if (filter.state !== undefined && filter.state.state !== criSandboxState(record)) return false;
  return hasLabels(record.config.labels, filter.labelSelector);
}

/** True if the container passes every part of the filter that is set. */
export function containerMatches(
  record: ContainerRecord,
  filter: ContainerFilter | undefined,
): boolean {
  if (!containerVisible(record)) return false;
  if (filter === undefined) return true;
  if (!record.id.startsWith(filter.id)) return false;
  if (!record.sandboxId.startsWith(filter.podSandboxId)) return false;
  if (filter.state !== undefined && filter.state.state !== criContainerState(record)) return false;
  return hasLabels(record.config.labels, filter.labelSelector);
}

function hasLabels(
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([key, value]) =>
    Object.hasOwn(labels, key) && labels[key] === value
  );
}
