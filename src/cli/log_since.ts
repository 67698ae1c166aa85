/** Log entries from a moment on. @module */
import { parseDuration } from "../config/mod.ts";
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { LogEntry } from "./container_log.ts";

/**
 * Milliseconds since the epoch of a moment: RFC 3339, or a time before now such as `10m`.
 *
 * @throws {InvalidArgumentError} it is neither
 */
export function sinceOf(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  const back = /^\d{1,12}$/.test(text) ? Number(text) * 1000 : parseDuration(text);
  if (text !== "" && back !== undefined && back >= 0) return nowMs - back;
  // Date.parse takes more than RFC 3339, such as a lone year.
  const at = /^\d{4}-\d\d-\d\d(T|$)/.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(at)) return at;
  throw new InvalidArgumentError(`--since ${shown(text)} is no time`, {
    field: "since",
    value: text,
    remedy: "give a time before now such as 10m, or a moment such as 2026-01-31T12:00:00Z",
  });
}

/** Leaves out what is older; an entry whose time cannot be read is kept. */
export async function* newerThan(
  entries: AsyncIterable<LogEntry>,
  sinceMs: number,
): AsyncGenerator<LogEntry> {
  for await (const entry of entries) {
    if (!(Date.parse(entry.time) < sinceMs)) yield entry;
  }
}
