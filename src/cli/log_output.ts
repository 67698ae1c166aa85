/** Log entries on a terminal. @module */
import type { LogEntry } from "./container_log.ts";
import type { Terminal } from "./terminal.ts";

export interface LogOutputOptions {
  readonly timestamps?: boolean;
  /** Put before each line: the container's name, where several write. */
  readonly prefix?: string;
}

/** Writes each entry to the stream that it came from. */
export async function writeEntries(
  terminal: Terminal,
  entries: AsyncIterable<LogEntry>,
  { timestamps = false, prefix = "" }: LogOutputOptions = {},
): Promise<void> {
  const encoder = new TextEncoder();
  const lineBegins = { stdout: true, stderr: true };
  for await (const { time, stream, complete, content } of entries) {
    const head = lineBegins[stream] ? encoder.encode(prefix + (timestamps ? `${time} ` : "")) : [];
    const line = new Uint8Array(head.length + content.length + (complete ? 1 : 0));
    line.set(head);
    line.set(content, head.length);
    if (complete) line[line.length - 1] = 0x0a;
    lineBegins[stream] = complete;
    if (stream === "stdout") terminal.out(line);
    else terminal.error(line);
  }
}
