/**
 * What one reader of events has still to be told.
 *
 * A reader that keeps up gets every event. One that does not is told less of the past: states that
 * a later one of the same container has made obsolete are dropped, an end never. So a reader costs
 * what there are containers, however many events there were.
 *
 * @module
 */
import { ResourceExhaustedError } from "../errors/mod.ts";
import { ContainerEventType } from "../proto/mod.ts";
import type { PodEvent } from "./event.ts";

export interface EventQueueLimits {
  /** So many are kept as they came before any is dropped: what the kubelet's own channel holds. */
  readonly unmerged: number;
  /**
   * So many containers that are gone may be waiting to be told of. Those that are there bound the queue
   * by their number; these have no other bound.
   */
  readonly gone: number;
  /** About what all that waits may take in memory: annotations can be long. */
  readonly bytes: number;
}

export const EVENT_QUEUE_LIMITS: EventQueueLimits = {
  unmerged: 1_000,
  gone: 8_192,
  bytes: 128 * 1024 * 1024,
};

const { CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } = ContainerEventType;

export class EventQueue {
  readonly #limits: EventQueueLimits;
  /** Those before the head have been taken, and are let go. */
  #events: (PodEvent | undefined)[] = [];
  #head = 0;
  /** What those that wait weigh together. */
  #bytes = 0;
  /** Merging walks over all of them, so it waits until there are twice as many as it left. */
  #mergeAt: number;

  constructor(limits: EventQueueLimits = EVENT_QUEUE_LIMITS) {
    this.#limits = limits;
    this.#mergeAt = limits.unmerged;
  }

  get size(): number {
    return this.#events.length - this.#head;
  }

  /** @throws {ResourceExhaustedError} the reader is further behind than can be kept; nothing is then */
  push(event: PodEvent): void {
    this.#events.push(event);
    this.#bytes += event.weight;
    // For its bytes at every push, but not for long: of a container's few events half stay, and add up.
    if (this.size > this.#mergeAt || this.#bytes > this.#limits.bytes) this.#merge();
  }

  /** The oldest event that was not taken. */
  take(): PodEvent | undefined {
    const event = this.#events[this.#head];
    if (event === undefined) return undefined;
    this.#events[this.#head++] = undefined;
    this.#bytes -= event.weight;
    if (this.#head === this.#events.length) this.#reset([], 0);
    else if (this.#head > this.#limits.unmerged) this.#reset(this.#waiting(), this.#bytes);
    return event;
  }

  #waiting(): PodEvent[] {
    return this.#events.filter((event) => event !== undefined);
  }

  #merge(): void {
    const kept = withoutObsolete(this.#waiting());
    const gone = kept.filter(({ type }) => type === CONTAINER_DELETED_EVENT).length;
    const bytes = kept.reduce((sum, { weight }) => sum + weight, 0);
    if (gone > this.#limits.gone || bytes > this.#limits.bytes) {
      this.#reset([], 0);
      throw new ResourceExhaustedError(
        `This reader has ${kept.length} events of about ${bytes} bytes to take, of which ${gone} are of containers that are gone; at most ${this.#limits.gone} of those are kept, and ${this.#limits.bytes} bytes`,
        { remedy: "read faster; list pods and containers, and ask for events again" },
      );
    }
    this.#reset(kept, bytes);
  }

  #reset(events: PodEvent[], bytes: number): void {
    this.#events = events;
    this.#bytes = bytes;
    this.#head = 0;
    this.#mergeAt = Math.max(this.#limits.unmerged, 2 * events.length);
  }
}

/** In their order, of each id the last event, and the last that told of its end. */
export function withoutObsolete(events: readonly PodEvent[]): PodEvent[] {
  const later = new Map<string, { stopped: boolean }>();
  const kept = events.toReversed().filter(({ id, type }) => {
    const seen = later.get(id);
    if (seen === undefined) {
      later.set(id, { stopped: type === CONTAINER_STOPPED_EVENT });
      return true;
    }
    if (type !== CONTAINER_STOPPED_EVENT || seen.stopped) return false;
    return seen.stopped = true;
  });
  return kept.reverse();
}
