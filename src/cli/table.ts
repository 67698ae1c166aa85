/**
 * Output for people (aligned columns) and for programs (JSON, YAML).
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { CommandContext, Invocation } from "./command.ts";
import { json, yaml } from "./json_output.ts";
import type { Colour } from "./style.ts";
import type { Terminal } from "./terminal.ts";

/** Colours a cell that has been padded. */
export type CellPaint = (padded: string, row: number, column: number) => string;

/** Rows with their cells aligned, two spaces apart. */
export function columns(
  rows: readonly (readonly string[])[],
  paint: CellPaint = (padded) => padded,
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, index) => widths[index] = Math.max(widths[index] ?? 0, cell.length));
  }
  return rows.map((row, at) =>
    row.map((cell, index) =>
      paint(index === row.length - 1 ? cell : cell.padEnd(widths[index]! + 2), at, index)
    ).join("").trimEnd()
  );
}

const OUTPUT_FORMATS = ["table", "json", "yaml"] as const;
export type OutputFormat = typeof OUTPUT_FORMATS[number];

/** @throws {InvalidArgumentError} the format asked for is none of table, json and yaml */
export function outputFormat(
  invocation: Invocation,
  fallback: OutputFormat = "table",
): OutputFormat {
  const text = invocation.text("output") ?? fallback;
  const format = OUTPUT_FORMATS.find((one) => one === text);
  if (format !== undefined) return format;
  throw new InvalidArgumentError(`Cannot write the output as ${shown(text)}`, {
    field: "output",
    value: text,
    remedy: `give ${OUTPUT_FORMATS.join(", ")}`,
  });
}

/**
 * Writes a value as JSON or YAML, if that was asked for.
 *
 * @returns false if a table was asked for: nothing is written
 */
export function printStructured(
  terminal: Terminal,
  format: OutputFormat,
  value: unknown,
): boolean {
  if (format === "table") return false;
  terminal.out(format === "json" ? json(value) : yaml(value));
  return true;
}

/** Writes rows below a header, or all of `value` as JSON or YAML. */
export function printList(
  { terminal }: CommandContext,
  invocation: Invocation,
  list: {
    readonly header: readonly string[];
    readonly rows: readonly (readonly string[])[];
    readonly value: unknown;
    /** Colour of a cell by its text. */
    readonly colours?: Readonly<Record<string, Colour>>;
  },
): void {
  if (printStructured(terminal, outputFormat(invocation), list.value)) return;
  const { colours = {} } = list;
  const rows = [list.header, ...list.rows.map(printable)];
  const paint: CellPaint = (padded, row) => {
    const text = padded.trimEnd();
    const colour = row > 0 && Object.hasOwn(colours, text) ? colours[text] : undefined;
    return terminal.paint.out(row === 0 ? "bold" : colour, padded);
  };
  terminal.out(`${columns(rows, paint).join("\n")}\n`);
}

/** Cells come from images and requests: a terminal must not obey what is in them. */
function printable(row: readonly string[]): string[] {
  return row.map(safeText);
}

export function safeText(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, "\ufffd");
}

/** Ids as `crictl` shows them. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 13);
}

/** `3 minutes ago` from nanoseconds since the epoch. */
export function age(createdNs: bigint, nowMs: number = Date.now()): string {
  const seconds = Math.max(0, Math.floor(nowMs / 1000 - Number(createdNs / 1_000_000n) / 1000));
  const units: readonly [number, string][] = [
    [86_400, "day"],
    [3_600, "hour"],
    [60, "minute"],
    [1, "second"],
  ];
  for (const [size, name] of units) {
    if (seconds < size) continue;
    const count = Math.floor(seconds / size);
    return `${count} ${name}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

/** `12.3MB`, units of 1000 as registries count. */
export function bytesText(bytes: bigint): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)}${units[unit]}`;
}
