/**
 * The rules that request fields are held to, one function each. All take the field's dotted name,
 * spelled as in the CRI, and say in their error what is wrong with which value.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  type ErrorDetails,
  InvalidArgumentError,
  ResourceExhaustedError,
  shown,
} from "../errors/mod.ts";
import { type Limit, LIMITS } from "./limits.ts";

/** What follows "config.metadata.name": `is missing`, `has a slash`. */
export function refuse(field: string, what: string, details: ErrorDetails = {}): never {
  const value = details.value === undefined ? "" : ` ${shown(details.value)}`;
  throw new InvalidArgumentError(`${field}${value} ${what}`, { ...details, field });
}

/** @throws {InvalidArgumentError} the message or text is absent or empty */
export function required<T>(field: string, value: T | undefined): T {
  if (value === undefined || value === "") {
    refuse(field, "is missing", { remedy: `set ${field}` });
  }
  return value;
}

/** @throws {ResourceExhaustedError} the text is longer than the limit, in UTF-8 */
export function checkLength(field: string, text: string, limit: Limit): void {
  // A character is one to three bytes for each unit of a string's length.
  if (text.length * 3 <= limit.max) return;
  checkSize(field, utf8Bytes(text), limit);
}

/** As the kernel and the record hold it. */
export function utf8Bytes(text: string): number {
  return Buffer.byteLength(text, "utf8");
}

/** @throws {ResourceExhaustedError} more bytes or entries than the limit */
export function checkSize(field: string, size: number, limit: Limit): void {
  if (size <= limit.max) return;
  throw new ResourceExhaustedError(
    `${field} has ${size} ${limit.unit}, more than the ${limit.max} that the limit "${limit.name}" ` +
      `allows: ${limit.reason}`,
    { field, remedy: `shorten ${field}` },
  );
}

// deno-lint-ignore no-control-regex -- finding these is the point
const CONTROL = /[\x00-\x1f\x7f]/;

/** @throws {InvalidArgumentError} NUL, newline or another control character */
export function checkNoControl(field: string, text: string): void {
  if (CONTROL.test(text)) {
    refuse(field, "has a control character", {
      value: text,
      remedy: "remove NUL, newline and other control characters",
    });
  }
}

/** @throws {InvalidArgumentError} a NUL, at which the kernel would end the text */
export function checkNoNul(field: string, text: string): void {
  if (text.includes("\0")) refuse(field, "has a NUL", { value: text, remedy: "remove the NUL" });
}

/**
 * A name that becomes part of file names, of a monitor's arguments and of log lines.
 *
 * @throws {InvalidArgumentError} empty, or with `/`, `..` or a control character
 * @throws {ResourceExhaustedError} too long
 */
export function checkName(field: string, text: string, limit: Limit): void {
  required(field, text);
  checkLength(field, text, limit);
  checkNoControl(field, text);
  if (text.includes("/") || text.includes("..") || text === ".") {
    refuse(field, "is not a name", { value: text, remedy: "leave out / and .." });
  }
}

/**
 * @throws {InvalidArgumentError} a component `..` or a control character
 * @throws {ResourceExhaustedError} longer than the kernel takes
 */
export function checkPath(field: string, path: string, limit: Limit): void {
  checkLength(field, path, limit);
  checkNoControl(field, path);
  for (const name of path.split("/")) {
    checkLength(field, name, LIMITS.pathName);
    if (name === "..") {
      refuse(field, "goes up a directory", { value: path, remedy: "write the path without .." });
    }
  }
}

/** Like {@link checkPath}; @throws {InvalidArgumentError} also for a relative or empty path */
export function checkAbsolutePath(field: string, path: string, limit: Limit): void {
  required(field, path);
  checkPath(field, path, limit);
  if (!path.startsWith("/")) {
    refuse(field, "is not an absolute path", { value: path, remedy: "begin it with /" });
  }
}

/** A path confined below its base. @throws {InvalidArgumentError} absolute, or as {@link checkPath} */
export function checkRelativePath(field: string, path: string, limit: Limit): void {
  checkPath(field, path, limit);
  if (path.startsWith("/")) {
    refuse(field, "is an absolute path", {
      value: path,
      remedy: "give a path relative to the sandbox's log directory",
    });
  }
  if (path.endsWith("/") || path.split("/").includes(".")) {
    refuse(field, "does not name a file", { value: path, remedy: "name the file" });
  }
}

/** A generated enum: names to numbers and, under the numbers, back. */
type EnumObject = Readonly<Record<string | number, string | number>>;

/** @throws {InvalidArgumentError} a number that the enum does not have */
export function checkEnum(field: string, value: number, known: EnumObject): void {
  if (Object.hasOwn(known, value)) return;
  const names = Object.keys(known).filter((key) => !/^-?\d+$/.test(key));
  refuse(field, "is not a known value", {
    value: String(value),
    remedy: names.length > 8 ? "use a value of runtime.v1" : `use one of ${names.join(", ")}`,
  });
}

/** @throws {InvalidArgumentError} outside the range, both ends included */
export function checkRange(
  field: string,
  value: bigint | number,
  { min, max }: { readonly min: bigint | number; readonly max: bigint | number },
): void {
  if (value >= min && value <= max) return;
  refuse(field, "is out of range", { value: String(value), remedy: `give ${min} to ${max}` });
}

/** User and group ids: 2^32 - 1 means "leave as it is" to the kernel and is no id. */
export const ID_RANGE = { min: 0n, max: 2n ** 32n - 2n } as const;

/**
 * Labels or annotations.
 *
 * @throws {InvalidArgumentError} a key is empty or has a control character, a value has a NUL
 * @throws {ResourceExhaustedError} too many, or too long
 */
export function checkMap(
  field: string,
  map: Readonly<Record<string, string>>,
  limits: { readonly count: Limit; readonly entry?: Limit; readonly total?: Limit },
): void {
  const all = Object.entries(map);
  checkSize(field, all.length, limits.count);
  let total = 0;
  for (const [key, value] of all) {
    if (key === "") refuse(field, "has an empty key", { remedy: "name every entry" });
    checkNoControl(`${field} key`, key);
    checkNoNul(`${field}[${shown(key)}]`, value);
    if (limits.entry !== undefined) {
      checkLength(`${field}[${shown(key)}]`, key + value, limits.entry);
    }
    total += utf8Bytes(key) + utf8Bytes(value);
  }
  if (limits.total !== undefined) checkSize(field, total, limits.total);
}

/** Each of a list, with its index in the field's name. */
export function checkEach<T>(
  field: string,
  list: readonly T[],
  limit: Limit,
  check: (field: string, entry: T) => void,
): void {
  checkSize(field, list.length, limit);
  list.forEach((entry, index) => check(`${field}[${index}]`, entry));
}
