/**
 * What is left although its owner is gone: resources whose undo failed, tried again with back-off
 * until they are gone, and shown by `sauropod check` and the status meanwhile.
 *
 * @module
 */
import { errorMessage } from "../errors/mod.ts";
import type { Journal, Resource, ResourceRow } from "./journal.ts";

export interface PendingCleanupOptions {
  readonly journal: Journal;
  /** Undoes and forgets one resource: `Undoer.undo` under an operation's name. */
  readonly undo: (resource: Resource) => Promise<void>;
  /** Back-off before the first retry, doubled by each failure; 1 s by default. */
  readonly firstDelayMs?: number;
  /** 5 min by default. */
  readonly maxDelayMs?: number;
}

export interface PendingResource {
  readonly owner: string;
  readonly kind: string;
  readonly error: string;
  readonly attempts: number;
  /** Milliseconds until the next attempt, 0 while one is under way. */
  readonly retryInMs: number;
}

interface Entry {
  resource: Resource;
  error: unknown;
  attempts: number;
  dueMs: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class PendingCleanup implements Disposable {
  readonly #options: PendingCleanupOptions;
  readonly #entries = new Map<ResourceRow, Entry>();

  constructor(options: PendingCleanupOptions) {
    this.#options = options;
  }

  /** Takes over a resource whose undo failed; one that is there already keeps its back-off. */
  add(resource: Resource, error: unknown): void {
    const known = this.#entries.get(resource.row);
    if (known !== undefined) {
      known.error = error;
      return;
    }
    const entry: Entry = { resource, error, attempts: 1, dueMs: 0, timer: undefined };
    this.#entries.set(resource.row, entry);
    this.#schedule(entry);
  }

  list(): PendingResource[] {
    const now = performance.now();
    return [...this.#entries.values()].map(({ resource, error, attempts, dueMs }) => ({
      owner: resource.owner,
      kind: resource.kind,
      error: errorMessage(error),
      attempts,
      retryInMs: Math.max(0, Math.round(dueMs - now)),
    }));
  }

  /** Ends the retries; the rows stay for the next start. */
  [Symbol.dispose](): void {
    for (const entry of this.#entries.values()) clearTimeout(entry.timer);
    this.#entries.clear();
  }

  #schedule(entry: Entry): void {
    const { firstDelayMs = 1000, maxDelayMs = 300_000 } = this.#options;
    const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** (entry.attempts - 1));
    entry.dueMs = performance.now() + delayMs;
    const timer = setTimeout(() => void this.#retry(entry), delayMs);
    // A process that has nothing else to do ends.
    Deno.unrefTimer(timer);
    entry.timer = timer;
  }

  /** Never rejects. */
  async #retry(entry: Entry): Promise<void> {
    const { row, owner } = entry.resource;
    try {
      // Someone else may have undone it, or completed its payload.
      const present = (await this.#options.journal.ofOwner(owner)).find((one) => one.row === row);
      if (present !== undefined) await this.#options.undo(entry.resource = present);
      this.#entries.delete(row);
    } catch (error) {
      if (this.#entries.get(row) !== entry) return;
      entry.error = error;
      entry.attempts++;
      this.#schedule(entry);
    }
  }
}
