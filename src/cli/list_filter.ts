/** `--filter KEY=VALUE` of lists: all keys must fit, and one of several values of a key. @module */
import { nearest } from "../errors/nearest.ts";
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { OptionTable } from "./command.ts";

export const FILTER_OPTION: OptionTable = {
  filter: {
    type: "string",
    short: "f",
    multiple: true,
    value: "KEY=VALUE",
    summary: "only what fits; keys beside each other must all fit",
  },
};

/** Whether an item fits a value, by key. */
export type FilterTable<Item> = Readonly<Record<string, (item: Item, value: string) => boolean>>;

/** @throws {InvalidArgumentError} a filter has no value, or a key that is not known */
export function filterOf<Item>(
  table: FilterTable<Item>,
  filters: readonly string[],
): (item: Item) => boolean {
  const byKey = new Map<string, string[]>();
  for (const text of filters) {
    const equals = text.indexOf("=");
    const key = equals < 0 ? text : text.slice(0, equals);
    if (!Object.hasOwn(table, key) || equals < 0) {
      const near = nearest(key, Object.keys(table));
      throw new InvalidArgumentError(`--filter ${shown(text)} is not known`, {
        field: "filter",
        value: text,
        remedy: near !== undefined && near !== key
          ? `perhaps ${near} is meant`
          : `give ${Object.keys(table).map((name) => `${name}=VALUE`).join(", ")}`,
      });
    }
    byKey.set(key, [...byKey.get(key) ?? [], text.slice(equals + 1)]);
  }
  return (item) =>
    [...byKey].every(([key, values]) => values.some((value) => table[key]!(item, value)));
}

/** `label=KEY` or `label=KEY=VALUE`. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const key = equals < 0 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
}
