/**
 * The configuration as a documented TOML file that reads back to the same configuration.
 *
 * @module
 */
import { sameValue } from "./_values.ts";
import {
  type Configuration,
  defaultConfiguration,
  defaultOf,
  type Flavour,
  handlerDefaults,
} from "./configuration.ts";
import type { Key, KeyValue } from "./keys.ts";
import { valueAt } from "./merged.ts";
import { type KeyTable, TABLES } from "./schema.ts";
import { HANDLER } from "./schema/runtime_handler.ts";
import { WORKLOAD, WORKLOAD_RESOURCES } from "./schema/workload.ts";
import { formatDuration } from "./size.ts";

export interface PrintOptions {
  /** Names the tables, and says which values are defaults: those are commented out. */
  readonly flavour: Flavour;
  /** Dotted paths that are no comment although they have their default: somebody wrote them. */
  readonly stated?: ReadonlySet<string>;
}

const WIDTH = 100;

export function printConfiguration(configuration: Configuration, options: PrintOptions): string {
  const { flavour, stated = new Set() } = options;
  const lines = [
    `# Configuration of sauropod. Commented values are the defaults.`,
    `# \`sauropod config check FILE\` says whether a file is in order.`,
  ];
  for (const [path, table] of Object.entries(TABLES)) {
    lines.push("", `[${path === "" ? flavour : `${flavour}.${path}`}]`);
    for (const [name, key] of Object.entries(table as KeyTable)) {
      const full = path === "" ? name : `${path}.${name}`;
      const value = valueAt(configuration, full);
      const live = stated.has(full) || !sameValue(value, defaultOf(key, flavour));
      lines.push("", ...comments(key), `${live ? "" : "# "}${name} = ${literal(key, value)}`);
    }
    if (path === "runtime") {
      lines.push(
        ...handlerLines(configuration, { flavour, stated }),
        ...workloadLines(configuration, flavour),
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

function* comments(key: Key): Generator<string> {
  yield* wrapped(key.meaning);
  if (key.allowed !== undefined) yield* wrapped(`Allowed: ${key.allowed}.`);
  if (key.deprecated !== undefined) yield* wrapped(`Deprecated: ${key.deprecated}.`);
  switch (key.standing) {
    case "later":
      yield "# Accepted, not in effect yet.";
      break;
    case "refused":
      yield* wrapped(`Cannot be honoured yet, stops the start: ${key.because}.`);
      break;
    case "noEffect":
      yield* wrapped(`Has no effect: ${key.because}.`);
      break;
    case "effective":
      break;
    default:
      key.standing satisfies never;
  }
}

function* wrapped(sentence: string): Generator<string> {
  let line = "#";
  for (const word of sentence.split(" ")) {
    if (line.length + 1 + word.length > WIDTH) {
      yield line;
      line = "#";
    }
    line += ` ${word}`;
  }
  yield line;
}

function* handlerLines(
  { runtime }: Configuration,
  { flavour, stated }: Required<PrintOptions>,
): Generator<string> {
  yield* [
    "",
    "# Handlers by name. A table here replaces the whole built-in one of that name.",
  ];
  const builtIn = defaultConfiguration(flavour).runtime.runtimes;
  const table: KeyTable = HANDLER;
  const defaults: Readonly<Record<string, KeyValue>> = { ...handlerDefaults() };
  let first = true;
  for (const [name, handler] of Object.entries(runtime.runtimes)) {
    const values: Readonly<Record<string, KeyValue>> = { ...handler };
    const same = builtIn[name];
    const untouched = same !== undefined && !stated.has(`runtime.runtimes.${name}`) &&
      Object.keys(table).every((key) =>
        sameValue(values[key]!, { ...same }[key as keyof typeof same])
      );
    yield* ["", `${untouched ? "# " : ""}[${flavour}.runtime.runtimes.${keyText(name)}]`];
    for (const [keyName, key] of Object.entries(table)) {
      const value = values[keyName]!;
      const live = !untouched && !sameValue(value, defaults[keyName]!);
      if (first) yield* comments(key);
      yield `${live ? "" : "# "}${keyName} = ${literal(key, value)}`;
    }
    first = false;
  }
}

/** All of it live: a workload is there because somebody wrote it. */
function* workloadLines({ runtime }: Configuration, flavour: Flavour): Generator<string> {
  for (const [name, workload] of Object.entries(runtime.workloads)) {
    const path = `${flavour}.runtime.workloads.${keyText(name)}`;
    yield* ["", `[${path}]`];
    for (const [keyName, key] of Object.entries(WORKLOAD)) {
      yield `${keyName} = ${literal(key, workload[keyName as keyof typeof WORKLOAD])}`;
    }
    yield `[${path}.resources]`;
    for (const [keyName, key] of Object.entries(WORKLOAD_RESOURCES)) {
      const value = workload.resources[keyName as keyof typeof WORKLOAD_RESOURCES];
      yield `${keyName} = ${literal(key, value)}`;
    }
  }
}

function literal(key: Key, value: KeyValue): string {
  if (key.type === "duration") return text(formatDuration(value as number));
  if (typeof value === "string") return text(value);
  if (typeof value !== "object") return String(value);
  if (isList(value)) return `[${value.map(text).join(", ")}]`;
  const pairs = Object.entries(value).map(([name, item]) => `${keyText(name)} = ${text(item)}`);
  return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`;
}

function isList(value: object): value is readonly string[] {
  return Array.isArray(value);
}

/** JSON's escapes are TOML's, except that TOML allows no bare DEL. */
function text(value: string): string {
  return JSON.stringify(value).replaceAll("\x7f", "\\u007f");
}

function keyText(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : text(name);
}
