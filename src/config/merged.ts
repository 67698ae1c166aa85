/**
 * What the layers of input say, key by key, and what there is to tell about it.
 *
 * @module
 */
import { sameValue } from "./_values.ts";
import { type Configuration, defaultOf, type Flavour } from "./configuration.ts";
import type { Key, KeyValue } from "./keys.ts";
import { type KeyTable, TABLES } from "./schema.ts";

/** Something to tell about a key. An `error` means: do not start with this. */
export interface Notice {
  readonly level: "info" | "warning" | "error";
  /** Dotted path below `sauropod` or `crio`: `runtime.default_runtime`. */
  readonly key: string;
  /** A sentence that names key and place. */
  readonly message: string;
}

/** Where a value came from; keys that have their default are not listed. */
export interface Source {
  readonly kind: "file" | "environment" | "flag" | "node";
  /** The file's path, or the variable's or flag's name. */
  readonly name: string;
}

/** What the layers of input made of the schema, before it is fitted to the node. */
export interface MergedConfiguration {
  readonly configuration: Configuration;
  readonly flavour: Flavour;
  readonly notices: readonly Notice[];
  readonly sources: ReadonlyMap<string, Source>;
}

/** Every key of the fixed tables with its dotted path. */
export function allKeys(): { readonly path: string; readonly key: Key }[] {
  return Object.entries(TABLES as Readonly<Record<string, KeyTable>>).flatMap(([table, keys]) =>
    Object.entries(keys).map(([name, key]) => ({
      path: table === "" ? name : `${table}.${name}`,
      key,
    }))
  );
}

/** True if the key has the value that it has when nothing is configured. */
export function hasDefault(key: Key, value: KeyValue, flavour: Flavour): boolean {
  return sameValue(value, defaultOf(key, flavour));
}

/** The value of a key by its dotted path, as {@link allKeys} gives it. */
export function valueAt(configuration: Configuration, path: string): KeyValue {
  const names = path.includes(".") ? path.split(".") : ["base", path];
  let node: unknown = configuration;
  for (const name of names) node = (node as Readonly<Record<string, unknown>>)[name];
  return node as KeyValue;
}
