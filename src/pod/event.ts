/**
 * Events of pods and containers, as the CRI names them: which change of a record is which event.
 * An event of a pod has the sandbox's id in the place of the container's.
 *
 * @module
 */
import type { ContainerId, SandboxId } from "../model/mod.ts";
import {
  type ContainerEventResponse,
  ContainerEventType,
  type ContainerStatus,
  type PodSandboxStatus,
} from "../proto/mod.ts";
import type { ContainerRecord } from "./container.ts";
import { containerStatus } from "./container_status.ts";
import type { SandboxRecord } from "./sandbox.ts";
import { sandboxStatus } from "./sandbox_status.ts";

/**
 * A committed change, with the pod as it was just then. It holds statuses, not records: of a container
 * that is gone, an event may be all that is left in memory, and a record has a whole configuration.
 */
export interface PodEvent {
  readonly id: ContainerId | SandboxId;
  readonly type: ContainerEventType;
  /** Later than that of every earlier event. */
  readonly createdAtNs: bigint;
  readonly pod: PodThen;
  /** See {@link eventWeight}. */
  readonly weight: number;
}

/** A pod as it was when something happened to it, shared by the events of one commit. */
export interface PodThen {
  /** Undefined if its record cannot be read. */
  readonly sandbox: PodSandboxStatus | undefined;
  /** Those that callers may see. */
  readonly containers: readonly ContainerStatus[];
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

type Events = readonly ContainerEventType[];

/** What the change of a container into each state is told as. */
const CONTAINER_EVENTS: Readonly<Record<ContainerRecord["state"]["kind"], Events>> = {
  creating: [],
  created: [CONTAINER_CREATED_EVENT],
  running: [CONTAINER_STARTED_EVENT],
  exited: [CONTAINER_STOPPED_EVENT],
  removing: [],
};

/** The same for a pod, which is created and started in one step. */
const SANDBOX_EVENTS: Readonly<Record<SandboxRecord["state"]["kind"], Events>> = {
  creating: [],
  ready: [CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT],
  failed: [CONTAINER_STOPPED_EVENT],
  stopping: [],
  stopped: [CONTAINER_STOPPED_EVENT],
  removing: [],
};

export function containerEvents(change: Change<ContainerRecord>): Events {
  return eventsOf(change, CONTAINER_EVENTS);
}

export function sandboxEvents(change: Change<SandboxRecord>): Events {
  const before = change.before?.state;
  // A pod that failed was told as stopped then; its stop is no second end.
  if (before?.kind === "stopping" && before.failed && change.after?.state.kind === "stopped") {
    return [];
  }
  return eventsOf(change, SANDBOX_EVENTS);
}

/** A half-made thing that is undone was never there, and a removal is told when it is over. */
function eventsOf<Kind extends string>(
  { before, after }: Change<{ readonly state: { readonly kind: Kind | "creating" } }>,
  events: Readonly<Record<Kind | "creating", Events>>,
): Events {
  const [was, is] = [before?.state.kind, after?.state.kind];
  if (is === undefined) {
    return was === undefined || was === "creating" ? [] : [CONTAINER_DELETED_EVENT];
  }
  return is === was ? [] : events[is];
}

export function eventMessage({ id, type, createdAtNs, pod }: PodEvent): ContainerEventResponse {
  return {
    containerId: id,
    containerEventType: type,
    createdAt: createdAtNs,
    podSandboxStatus: pod.sandbox,
    containersStatuses: [...pod.containers],
  };
}

/** Makes of records what events tell of a pod; of each record once, however many events have it. */
export class PodSnapshots {
  readonly #containers = new WeakMap<ContainerRecord, ContainerStatus>();

  of(sandbox: SandboxRecord | undefined, containers: readonly ContainerRecord[]): PodThen {
    return {
      sandbox: sandbox && sandboxStatus(sandbox),
      containers: containers.map((record) => this.#statusOf(record)),
    };
  }

  #statusOf(record: ContainerRecord): ContainerStatus {
    const status = this.#containers.get(record) ?? containerStatus(record);
    this.#containers.set(record, status);
    return status;
  }
}

/** What a status takes beside labels, annotations and mounts, and what one mount takes. */
const STATUS_BYTES = 2_048;
const MOUNT_BYTES = 512;
/** A reference to the status of another container, which has events of its own. */
const REFERENCE_BYTES = 8;

/** About what an event keeps in memory, in bytes. */
export function eventWeight(
  { config }: ContainerRecord | SandboxRecord,
  { containers }: PodThen,
): number {
  const texts = [config.labels, config.annotations].flatMap(Object.entries).flat();
  const mounts = "mounts" in config ? config.mounts.length : 0;
  return STATUS_BYTES + MOUNT_BYTES * mounts + REFERENCE_BYTES * containers.length +
    texts.reduce((sum: number, text: string) => sum + text.length, 0);
}
