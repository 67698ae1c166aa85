/**
 * Writes the copies of the records behind the requests: one write at a time for each record, and
 * only the newest value of those that came meanwhile.
 *
 * @module
 */
import type { JsonObject } from "../model/mod.ts";
import type { Resource } from "../state/journal.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { RecordMirror } from "./registry.ts";

/** Where the copies of one kind are. */
export interface RecordCopies {
  write(record: {
    readonly id: string;
    readonly value: JsonObject;
    readonly resources: readonly Resource[];
  }): Promise<void>;
}

export interface MirrorOptions {
  readonly copies: Readonly<Record<"sandbox" | "container", RecordCopies>>;
  /** Resources as they stand when the copy is written. */
  readonly resourcesOf: (id: string) => Promise<readonly Resource[]>;
  readonly log: Logger;
}

type Kind = "sandbox" | "container";

export class BackgroundMirror implements RecordMirror {
  readonly #options: MirrorOptions;
  readonly #waiting = new Map<string, JsonObject>();
  readonly #writing = new Map<string, Promise<void>>();

  constructor(options: MirrorOptions) {
    this.#options = options;
  }

  write(kind: Kind, id: string, value: JsonObject): void {
    const key = `${kind}/${id}`;
    this.#waiting.set(key, value);
    if (this.#writing.has(key)) return;
    this.#writing.set(key, this.#drain(kind, id, key));
  }

  async forget(kind: Kind, id: string): Promise<void> {
    const key = `${kind}/${id}`;
    this.#waiting.delete(key);
    await this.#writing.get(key);
  }

  /** Waits until everything has been written. */
  async flush(): Promise<void> {
    await Promise.all(this.#writing.values());
  }

  async #drain(kind: Kind, id: string, key: string): Promise<void> {
    // Let the operation that changed the record go on first: its next change may be near.
    await new Promise((resolve) => setTimeout(resolve, 0));
    for (let value = this.#take(key); value !== undefined; value = this.#take(key)) {
      try {
        const resources = await this.#options.resourcesOf(id);
        await this.#options.copies[kind].write({ id, value, resources });
      } catch (error) {
        // A record being removed has lost its directory; any other loss costs only the rebuild.
        if (error instanceof Deno.errors.NotFound) continue;
        this.#options.log.warn("The copy of a record could not be written", { id, error });
      }
    }
    // In the turn that found nothing waiting: a value that comes later begins a writing of its own.
    this.#writing.delete(key);
  }

  #take(key: string): JsonObject | undefined {
    const value = this.#waiting.get(key);
    this.#waiting.delete(key);
    return value;
  }
}
