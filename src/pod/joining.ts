/**
 * Operations that a retry joins instead of being refused.
 *
 * @module
 */
import { AlreadyExistsError } from "../errors/mod.ts";

interface Running<R> {
  readonly fingerprint: string;
  readonly id: string;
  readonly result: Promise<R>;
}

/** What is asked for: `key` may exist once, `fingerprint` tells whether its content is the same. */
export interface KeyedRequest {
  readonly key: string;
  readonly fingerprint: string;
  /** What it is, for errors: `Sandbox`, `Container`. */
  readonly noun: string;
}

/** Creations under way, by key. */
export class JoinableCreations<R> {
  readonly #running = new Map<string, Running<R>>();

  /**
   * Joins the creation under way with the same key and content, or starts one.
   *
   * @param id id that a new creation would get
   * @throws {AlreadyExistsError} one with other content is under way; names its id
   */
  run(request: KeyedRequest, id: string, start: () => Promise<R>): Promise<R> {
    const running = this.#running.get(request.key);
    if (running !== undefined) {
      if (running.fingerprint === request.fingerprint) return running.result;
      throw nameTaken(request, running.id, "is being made with other content");
    }
    const result = start().finally(() => this.#running.delete(request.key));
    this.#running.set(request.key, { fingerprint: request.fingerprint, id, result });
    return result;
  }

  /** Ids and results of the creations under way. */
  underWay(): readonly { readonly id: string; readonly result: Promise<R> }[] {
    return [...this.#running.values()];
  }
}

/** The error for a key that something else has. */
export function nameTaken(request: KeyedRequest, id: string, why: string): AlreadyExistsError {
  return new AlreadyExistsError(`${request.noun} ${request.key} ${why}: ${id}`, {
    id,
    value: request.key,
    remedy: `remove ${id}, or ask with another attempt number`,
  });
}
