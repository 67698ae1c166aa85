/**
 * Files of the administrator that are read for each use, so that a change counts from the next one on;
 * while a file is wrong, what it said before stays in force.
 *
 * @module
 */
import { errorMessage, FailedPreconditionError } from "../errors/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/** More are not kept: names of registries come from requests. */
const MAX_KEPT = 256;

const STAYS_IN_FORCE = "A changed file is wrong; what it said before stays in force";
const NOTHING_IN_FORCE = "A file cannot be used; what needs it fails until the file is changed";

/** Values by the name of the file, or of the group of files, that they are read from. */
export class LiveFiles<T> {
  readonly #log: Logger;
  readonly #kept = new Map<string, { readonly value: T }>();
  /** What was said about each, so that it is logged once and not with every pull. */
  readonly #told = new Map<string, string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Takes a value as the one that was read last, such as that of the start. */
  keep(name: string, value: T): void {
    this.#kept.delete(name);
    this.#kept.set(name, { value });
    this.#told.delete(name);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
  }

  /**
   * What the file says now, or said before it became wrong.
   *
   * @throws {FailedPreconditionError} it is wrong and was never right
   * @throws whatever else reading throws: only a wrong file leaves the old value in force
   */
  async read(name: string, read: () => Promise<T>): Promise<T> {
    let value: T;
    try {
      value = await read();
    } catch (error) {
      const before = this.#kept.get(name);
      if (before === undefined || !keepsOld(error)) throw error;
      this.#tell(name, STAYS_IN_FORCE, errorMessage(error));
      return before.value;
    }
    this.keep(name, value);
    return value;
  }

  /** Reads now. @returns what is wrong with the file, undefined if it is right */
  async check(name: string, read: () => Promise<T>): Promise<string | undefined> {
    try {
      this.keep(name, await read());
      return undefined;
    } catch (error) {
      const stays = this.#kept.has(name) && keepsOld(error);
      this.#tell(name, stays ? STAYS_IN_FORCE : NOTHING_IN_FORCE, errorMessage(error));
      return errorMessage(error);
    }
  }

  #tell(name: string, message: string, problem: string): void {
    if (this.#told.get(name) === problem) return;
    this.#told.set(name, problem);
    this.#log.error(message, { name, problem });
  }
}

/** Only of a wrong file: what is right but not built must not be skipped. */
function keepsOld(error: unknown): boolean {
  return error instanceof FailedPreconditionError;
}
