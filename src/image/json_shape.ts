/**
 * JSON of strangers, read by shape: every access says what it wants, and what is wrong with what is there.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

/** An object of an untrusted document. */
export class JsonShape {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #at: string;

  private constructor(value: unknown, at: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw malformed(at, "it is not an object");
    }
    this.#values = value as Readonly<Record<string, unknown>>;
    this.#at = at;
  }

  /**
   * @param what names the document in messages: `the manifest`
   * @throws {InvalidArgumentError} not a JSON object in UTF-8
   */
  static parse(bytes: Uint8Array, what: string): JsonShape {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch (error) {
      throw new InvalidArgumentError(`Cannot read ${what}: it is not JSON`, { cause: error });
    }
    return new JsonShape(value, what);
  }

  /** The same for a value that is parsed already. */
  static of(value: unknown, what: string): JsonShape {
    return new JsonShape(value, what);
  }

  get keys(): readonly string[] {
    return Object.keys(this.#values);
  }

  has(key: string): boolean {
    return this.#take(key) !== undefined;
  }

  /** Null and absent are the empty string. */
  text(key: string, maxCharacters: number): string {
    const value = this.#take(key) ?? "";
    if (typeof value !== "string") throw this.malformed(key, "it is not a string");
    if (value.length > maxCharacters) {
      throw this.malformed(key, `it is longer than ${maxCharacters} characters`);
    }
    return value;
  }

  /** Null and absent are the empty list. */
  list(key: string, maxLength: number): readonly unknown[] {
    const value = this.#take(key) ?? [];
    if (!Array.isArray(value)) throw this.malformed(key, "it is not a list");
    if (value.length > maxLength) {
      throw this.malformed(key, `it has more than ${maxLength} entries`);
    }
    return value;
  }

  texts(key: string, maxLength: number, maxCharacters: number): readonly string[] {
    return this.list(key, maxLength).map((value, index) => {
      if (typeof value !== "string" || value.length > maxCharacters) {
        throw this.malformed(`${key}[${index}]`, `it is not a string of ${maxCharacters} or fewer`);
      }
      return value;
    });
  }

  objects(key: string, maxLength: number): readonly JsonShape[] {
    return this.list(key, maxLength).map((value, index) =>
      new JsonShape(value, `${this.#at} at ${key}[${index}]`)
    );
  }

  /** Null and absent are undefined. */
  object(key: string): JsonShape | undefined {
    const value = this.#take(key);
    return value === undefined ? undefined : new JsonShape(value, `${this.#at} at ${key}`);
  }

  /** An integer that a double holds exactly; undefined if absent. */
  integer(key: string): number | undefined {
    const value = this.#take(key);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value)) throw this.malformed(key, "it is not an integer");
    return value as number;
  }

  malformed(key: string, why: string): InvalidArgumentError {
    return malformed(`${this.#at} at ${key}`, why);
  }

  #take(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? this.#values[key] ?? undefined : undefined;
  }
}

function malformed(at: string, why: string): InvalidArgumentError {
  return new InvalidArgumentError(`Cannot use ${at}: ${why}`, { value: shown(at) });
}
