/**
 * Values of single keys, from a file's node or from the text of a flag or variable.
 *
 * @module
 */
import type { Key, KeyType, KeyValue } from "./keys.ts";
import { isTable, type Node } from "./_document.ts";
import { parseDuration } from "./size.ts";

/** How a type is named in an error. */
export const EXPECTED: Readonly<Record<KeyType, string>> = {
  string: "a string",
  boolean: "true or false",
  integer: "an integer",
  strings: "an array of strings",
  stringMap: "a table of strings",
  duration: 'a duration such as "30s", or an integer of nanoseconds',
};

/** The value of `node` as the key's type, or undefined if it is of another one. */
export function valueOfNode(key: Key, node: Node): KeyValue | undefined {
  switch (key.type) {
    case "string":
      return typeof node === "string" ? node : undefined;
    case "boolean":
      return typeof node === "boolean" ? node : undefined;
    case "integer":
      return typeof node === "bigint" ? safeInteger(node) : undefined;
    case "strings":
      return Array.isArray(node) && node.every((item) => typeof item === "string")
        ? [...node]
        : undefined;
    case "stringMap":
      return isTable(node) && Object.values(node).every((item) => typeof item === "string")
        ? { ...node } as Record<string, string>
        : undefined;
    case "duration":
      if (typeof node === "bigint") return Number(node) / 1e6;
      return typeof node === "string" ? parseDuration(node) : undefined;
    default:
      return key.type satisfies never;
  }
}

/**
 * The value of a flag or an environment variable. Lists may be given several times, and each time
 * as several items with commas between.
 */
export function valueOfText(key: Key, texts: readonly string[]): KeyValue | undefined {
  const text = texts.at(-1) ?? "";
  switch (key.type) {
    case "string":
      return text;
    case "boolean":
      if (/^(true|t|1|yes)$/i.test(text)) return true;
      return /^(false|f|0|no)$/i.test(text) ? false : undefined;
    case "integer":
      return /^[+-]?\d{1,16}$/.test(text) ? safeInteger(BigInt(text)) : undefined;
    case "strings":
      return texts.flatMap((item) => item.split(",")).map((item) => item.trim())
        .filter((item) => item !== "");
    case "stringMap":
      return undefined;
    case "duration":
      return parseDuration(text);
    default:
      return key.type satisfies never;
  }
}

/** True if two values of one key mean the same. */
export function sameValue(left: KeyValue, right: KeyValue): boolean {
  if (typeof left !== "object" || typeof right !== "object") return left === right;
  return canonical(left) === canonical(right);
}

function canonical(value: object): string {
  return JSON.stringify(
    Array.isArray(value)
      ? value
      : Object.entries(value).sort(([left], [right]) => left < right ? -1 : 1),
  );
}

function safeInteger(value: bigint): number | undefined {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}
