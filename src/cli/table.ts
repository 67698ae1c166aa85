/**
 * Output for people (aligned columns) and for programs (JSON).
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { CommandContext, Invocation } from "./command.ts";
import { json } from "./json_output.ts";

/** Rows with their cells aligned, two spaces apart. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, index) => widths[index] = Math.max(widths[index] ?? 0, cell.length));
  }
  return rows.map((row) =>
    row.map((cell, index) => index === row.length - 1 ? cell : cell.padEnd(widths[index]! + 2))
      .join("").trimEnd()
  );
}

export type OutputFormat = "table" | "json";

/** @throws {InvalidArgumentError} the format asked for is neither table nor json */
export function outputFormat(invocation: Invocation): OutputFormat {
  const format = invocation.text("output") ?? "table";
  if (format === "table" || format === "json") return format;
  throw new InvalidArgumentError(`Cannot write the output as ${shown(format)}`, {
    field: "output",
    value: format,
    remedy: "give table or json",
  });
}

/** Writes rows below a header, or all of `value` as JSON. */
export function printList(
  { terminal }: CommandContext,
  invocation: Invocation,
  list: {
    readonly header: readonly string[];
    readonly rows: readonly (readonly string[])[];
    readonly value: unknown;
  },
): void {
  if (outputFormat(invocation) === "json") terminal.out(json(list.value));
  else terminal.out(`${columns([list.header, ...list.rows.map(printable)]).join("\n")}\n`);
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
