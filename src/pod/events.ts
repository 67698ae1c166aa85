/**
 * The source of events: hears of every commit and tells whoever reads.
 *
 * @module
 */
import { CancelledError, type SauropodError, UnavailableError } from "../errors/mod.ts";
import type { Clock, SandboxId } from "../model/mod.ts";
import type { ContainerEventResponse, ContainerEventType } from "../proto/mod.ts";
import { type ContainerRecord, isVisible } from "./container.ts";
import {
  type Change,
  containerEvents,
  eventMessage,
  eventWeight,
  type PodEvent,
  PodSnapshots,
  sandboxEvents,
} from "./event.ts";
import { EventQueue, type EventQueueLimits } from "./event_queue.ts";
import type { CommitObserver, PodRegistry } from "./registry.ts";
import type { SandboxRecord } from "./sandbox.ts";
import type { EventService } from "./service.ts";

export interface PodEventsOptions {
  readonly registry: Pick<PodRegistry, "sandbox" | "containersOf">;
  readonly clock: Pick<Clock, "nowNs">;
  readonly limits?: EventQueueLimits;
}

/**
 * Told by the registry of a commit after it was made: what an event says, a status says too from then
 * on, so a reader that was away has missed nothing that the next status does not tell.
 */
export class PodEvents implements EventService, CommitObserver, Disposable {
  readonly #options: PodEventsOptions;
  readonly #readers = new Set<EventReader>();
  readonly #snapshots = new PodSnapshots();
  #ended = false;

  constructor(options: PodEventsOptions) {
    this.#options = options;
  }

  /** How many are reading. */
  get readers(): number {
    return this.#readers.size;
  }

  containerCommitted(change: Change<ContainerRecord>): void {
    const record = change.after ?? change.before;
    if (record === undefined || this.#readers.size === 0) return;
    const sandbox = this.#options.registry.sandbox(record.sandboxId);
    this.#tell(record, sandbox, record.sandboxId, containerEvents(change));
  }

  sandboxCommitted(change: Change<SandboxRecord>): void {
    const record = change.after ?? change.before;
    if (record === undefined || this.#readers.size === 0) return;
    this.#tell(record, record, record.id, sandboxEvents(change));
  }

  /** Events from now on. It reads no more when `signal` fires. */
  read(signal: AbortSignal): AsyncIterableIterator<ContainerEventResponse> {
    const reader = new EventReader(this.#options.limits, () => this.#readers.delete(reader));
    if (this.#ended) reader.end(stopping());
    else if (signal.aborted) reader.end(gone(signal));
    else {
      this.#readers.add(reader);
      signal.addEventListener("abort", () => reader.end(gone(signal)), { once: true });
    }
    return reader;
  }

  /** Ends every reader: a server that stops does not wait for those who read without end. */
  [Symbol.dispose](): void {
    this.#ended = true;
    for (const reader of this.#readers) reader.end(stopping());
  }

  #tell(
    record: ContainerRecord | SandboxRecord,
    sandbox: SandboxRecord | undefined,
    sandboxId: SandboxId,
    types: readonly ContainerEventType[],
  ): void {
    const { registry, clock } = this.#options;
    if (types.length === 0) return;
    const pod = this.#snapshots.of(sandbox, registry.containersOf(sandboxId).filter(isVisible));
    const weight = eventWeight(record, pod);
    for (const type of types) {
      const event = { id: record.id, type, createdAtNs: clock.nowNs(), pod, weight };
      for (const reader of this.#readers) reader.push(event);
    }
  }
}

/** One reader. A message is made when it is asked for. One asks at a time. */
class EventReader implements AsyncIterableIterator<ContainerEventResponse> {
  readonly #queue: EventQueue;
  readonly #onEnd: () => void;
  /** Wakes the one who asks. */
  #waiting: PromiseWithResolvers<void> | undefined;
  #end: { readonly error: SauropodError | undefined } | undefined;

  constructor(limits: EventQueueLimits | undefined, onEnd: () => void) {
    this.#queue = new EventQueue(limits);
    this.#onEnd = onEnd;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Never throws: a commit is under way. */
  push(event: PodEvent): void {
    try {
      this.#queue.push(event);
      this.#waiting?.resolve();
    } catch (error) {
      this.end(error as SauropodError);
    }
  }

  async next(): Promise<IteratorResult<ContainerEventResponse, undefined>> {
    for (;;) {
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return { done: true, value: undefined };
      const event = this.#queue.take();
      if (event !== undefined) return { done: false, value: eventMessage(event) };
      this.#waiting = Promise.withResolvers();
      await this.#waiting.promise;
      this.#waiting = undefined;
    }
  }

  return(): Promise<IteratorResult<ContainerEventResponse, undefined>> {
    this.end(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  /** What waits to be read is given up. Undefined for a reader that has enough. */
  end(error: SauropodError | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#onEnd();
    this.#waiting?.resolve();
  }
}

function gone(signal: AbortSignal): SauropodError {
  return new CancelledError("The reader of events has gone", { cause: signal.reason });
}

function stopping(): SauropodError {
  return new UnavailableError("The server stops, and with it the stream of events", {
    remedy: "connect again, and list pods and containers",
  });
}
