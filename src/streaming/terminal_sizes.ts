/**
 * The sizes of a client's terminal: `{"Width":80,"Height":24}`, one JSON object after the other.
 *
 * @module
 */
import type { ByteSource, TerminalSize } from "../model/mod.ts";
import { RESIZE_LIMIT_CHARACTERS } from "./limits.ts";

/**
 * The newest size, whenever there is one that was not taken yet; a slow taker misses what was
 * overtaken. Ends with the source, and at what is no size.
 */
export async function* terminalSizes(source: ByteSource): AsyncGenerator<TerminalSize> {
  let newest: TerminalSize | undefined;
  let ended = false;
  let wake = () => {};
  let awoken = new Promise<void>((resolve) => wake = resolve);
  const reading = (async () => {
    try {
      for await (const size of everySize(source)) {
        newest = size;
        wake();
      }
    } catch {
      // The client is gone, which its session hears of elsewhere.
    } finally {
      ended = true;
      wake();
    }
  })();
  while (true) {
    if (newest !== undefined) {
      const size = newest;
      newest = undefined;
      yield size;
    } else if (ended) return await reading;
    else {
      await awoken;
      awoken = new Promise<void>((resolve) => wake = resolve);
    }
  }
}

async function* everySize(source: ByteSource): AsyncGenerator<TerminalSize> {
  const decoder = new TextDecoder("latin1");
  let text = "";
  for await (const chunk of source) {
    text += decoder.decode(chunk);
    const objects = text.split("}");
    text = objects.pop() ?? "";
    for (const object of objects) {
      const size = parseSize(`${object}}`);
      if (size === "wrong") return;
      if (size !== undefined) yield size;
    }
    if (text.length > RESIZE_LIMIT_CHARACTERS) return;
  }
}

/** Undefined for a terminal without extent, as one that is minimized. */
function parseSize(text: string): TerminalSize | "wrong" | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "wrong";
  }
  // As Go reads them: whatever the case of the names, and 0 for one that is missing.
  const fields = new Map(
    Object.entries(value as object).map(([name, number]) => [name.toLowerCase(), number]),
  );
  const columns: unknown = fields.get("width") ?? 0;
  const rows: unknown = fields.get("height") ?? 0;
  if (!isCells(columns) || !isCells(rows)) return "wrong";
  return columns === 0 || rows === 0 ? undefined : { columns, rows };
}

function isCells(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535;
}
