/**
 * What is known about one configuration key, and the builders that the schema is written with.
 *
 * @module
 */

/** How a key is written, and as what it arrives. */
export type KeyType = "string" | "boolean" | "integer" | "strings" | "stringMap" | "duration";

/** What each {@link KeyType} becomes in a `Configuration`. */
export interface ValueOf {
  string: string;
  boolean: boolean;
  /** A safe integer. */
  integer: number;
  strings: readonly string[];
  stringMap: Readonly<Record<string, string>>;
  /** Milliseconds, with a fraction; written as Go duration text or as an integer of nanoseconds. */
  duration: number;
}

/** Any value that a key may have. */
export type KeyValue = ValueOf[KeyType];

/**
 * When a changed value takes effect: at the next start, at SIGHUP, or by itself, because what the
 * key points to is watched.
 */
export type Reload = "restart" | "sighup" | "watched";

/**
 * What this runtime does with a key.
 *
 * - `effective`: what it says happens.
 * - `later`: accepted; a warning says that it is not in effect yet.
 * - `refused`: it concerns trust, isolation or placement and is not built: a value that would need
 *   it stops the start.
 * - `noEffect`: there is nothing here that it could change; a warning says why.
 *
 * The default value never warns and never stops, whatever the standing.
 */
export type Standing = "effective" | "later" | "refused" | "noEffect";

/**
 * A key as the schema states it. The checks are methods, so that keys of all types fit one table;
 * they are only ever called with a value that was read as the key's own type.
 */
export interface Key<T extends KeyType = KeyType> {
  readonly type: T;
  /** CRI-O's default: what a crio.conf that leaves the key out means. */
  readonly default: ValueOf[T];
  /** The default under our own configuration file, where it differs. */
  readonly ours?: ValueOf[T];
  /** One sentence. */
  readonly meaning: string;
  readonly standing: Standing;
  /** Why a value has no effect or is refused. */
  readonly because?: string;
  /** Values that need nothing that is missing here, besides the default: they neither warn nor stop. */
  readonly harmless?: readonly ValueOf[T][];
  /** Says what is wrong with a value, as the end of a sentence: `must be absolute`. */
  check?(value: ValueOf[T]): string | undefined;
  /** For a key that is effective in part: why this value cannot be honoured. */
  refuses?(value: ValueOf[T]): string | undefined;
  /** The allowed values, for the reader. */
  readonly allowed?: string;
  /** Command line flags without dashes, long form first. */
  readonly flags?: readonly string[];
  readonly env?: readonly string[];
  readonly reload?: Reload;
  /** What to use instead. */
  readonly deprecated?: string;
  /** Arrays of later files are added to earlier ones. */
  readonly appends?: boolean;
}

type Stated<T extends KeyType> = Omit<Key<T>, "type" | "standing"> & {
  readonly standing?: Standing;
};

function builder<T extends KeyType>(type: T): (stated: Stated<T>) => Key<T> {
  return (stated) => ({ standing: "effective", ...stated, type });
}

export const text = builder("string");
export const flag = builder("boolean");
export const integer = builder("integer");
export const list = builder("strings");
export const map = builder("stringMap");
export const duration = builder("duration");

/** Marks a key whose feature comes later. */
export function later<T extends KeyType>(key: Key<T>): Key<T> {
  return { ...key, standing: "later" };
}

/** Marks a key that stops the start when its value would be needed. */
export function refused<T extends KeyType>(because: string, key: Key<T>): Key<T> {
  return { ...key, standing: "refused", because };
}

/** Marks a key that cannot change anything here. */
export function noEffect<T extends KeyType>(because: string, key: Key<T>): Key<T> {
  return { ...key, standing: "noEffect", because };
}
