/** Tables of registries.conf and of the recorded aliases, read by type. @module */
import { parse as parseToml } from "smol-toml";
import { errorMessage, FailedPreconditionError } from "../errors/mod.ts";

/** @throws {FailedPreconditionError} it is not TOML */
export function parseRegistriesToml(text: string, file: string): RegistriesTable {
  try {
    return new RegistriesTable(parseToml(text), "", file);
  } catch (error) {
    if (error instanceof FailedPreconditionError) throw error;
    throw wrongRegistriesFile(file, "", errorMessage(error).split("\n")[0] ?? "it is not TOML");
  }
}

/** A TOML table whose keys are read by type, and which knows the keys that nobody read. */
export class RegistriesTable {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #name: string;
  readonly #file: string;
  readonly #read = new Set<string>();

  constructor(value: unknown, name: string, file: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw wrongRegistriesFile(file, name, "it is not a table");
    }
    this.#values = value as Readonly<Record<string, unknown>>;
    this.#name = name;
    this.#file = file;
  }

  keys(): string[] {
    return Object.keys(this.#values);
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#values, key);
  }

  unread(known: readonly string[] = []): string[] {
    return this.keys().filter((key) => !this.#read.has(key) && !known.includes(key));
  }

  string(key: string): string {
    const value = this.#take(key) ?? "";
    if (typeof value !== "string") throw this.#wrong(key, "a string");
    return value;
  }

  boolean(key: string): boolean {
    const value = this.#take(key) ?? false;
    if (typeof value !== "boolean") throw this.#wrong(key, "true or false");
    return value;
  }

  strings(key: string): string[] {
    const value = this.#take(key) ?? [];
    if (!Array.isArray(value) || !value.every((one) => typeof one === "string")) {
      throw this.#wrong(key, "a list of strings");
    }
    return value;
  }

  table(key: string): RegistriesTable | undefined {
    const value = this.#take(key);
    return value === undefined ? undefined : new RegistriesTable(value, key, this.#file);
  }

  tables(key: string): RegistriesTable[] {
    const value = this.#take(key) ?? [];
    if (!Array.isArray(value)) throw this.#wrong(key, "a list of tables, written [[...]]");
    return value.map((one) => new RegistriesTable(one, key, this.#file));
  }

  #take(key: string): unknown {
    this.#read.add(key);
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined;
  }

  #wrong(key: string, wanted: string): FailedPreconditionError {
    const full = this.#name === "" ? key : `${this.#name}.${key}`;
    return wrongRegistriesFile(this.#file, full, `it is not ${wanted}`);
  }
}

/** The error for a value at `key`, which is empty for the file as a whole. */
export function wrongRegistriesFile(
  file: string,
  key: string,
  why: string,
  remedy?: string,
): FailedPreconditionError {
  return new FailedPreconditionError(
    `The registries file ${file} is wrong${key === "" ? "" : ` at ${key}`}: ${why}`,
    {
      path: file,
      ...(key === "" ? {} : { field: key }),
      ...(remedy === undefined ? {} : { remedy }),
    },
  );
}
