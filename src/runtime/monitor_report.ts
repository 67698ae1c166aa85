/**
 * What a monitor says on its sync pipe, and what an OCI runtime says when it fails.
 *
 * @module
 */

/** One line of the monitor: a pid or an exit code, negative for a failure. */
export interface MonitorReport {
  readonly value: number;
  readonly message: string;
}

/** Longest line taken from a monitor: 8 KiB of the runtime's words, each byte escaped, and the rest. */
export const REPORT_LIMIT_BYTES = 64 * 1024;

const KEYS = ["pid", "data", "exit_code"] as const;

/**
 * Reads a report. conmon leaves some control characters unescaped, which JSON forbids.
 *
 * @returns undefined if the text is no report
 */
export function parseMonitorReport(text: string): MonitorReport | undefined {
  let document: unknown;
  try {
    // deno-lint-ignore no-control-regex
    document = JSON.parse(text.replace(/[\u0000-\u001f\u007f]/g, " "));
  } catch {
    return undefined;
  }
  if (typeof document !== "object" || document === null) return undefined;
  const fields = document as Readonly<Record<string, unknown>>;
  const value = KEYS.map((key) => fields[key]).find((field) => field !== undefined);
  if (typeof value !== "number" || !Number.isSafeInteger(value)) return undefined;
  return { value, message: typeof fields["message"] === "string" ? fields["message"] : "" };
}

const MESSAGE_LIMIT = 4096;

/**
 * The reason in what a runtime wrote to standard error: the message of its last error line in logrus
 * text or JSON form, else the whole text.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(
 *   runtimeErrorText('time="2026-01-01T00:00:00Z" level=error msg="exec failed: \\"x\\" missing"\n'),
 *   'exec failed: "x" missing',
 * );
 * ```
 */
export function runtimeErrorText(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const messages = lines.map(logLineError).filter((message) => message !== undefined);
  const text = messages.at(-1) ?? lines.join("; ");
  return text.length > MESSAGE_LIMIT ? `${text.slice(0, MESSAGE_LIMIT)}...` : text;
}

function logLineError(line: string): string | undefined {
  const text = /level=(?:error|fatal) msg=("(?:[^"\\]|\\.)*"|\S+)/.exec(line)?.[1];
  if (text !== undefined) return unquoted(text);
  if (!line.startsWith("{")) return undefined;
  try {
    const { level, msg } = JSON.parse(line) as Record<string, unknown>;
    return (level === "error" || level === "fatal") && typeof msg === "string" ? msg : undefined;
  } catch {
    return undefined; // a line that only looks like JSON
  }
}

/** Go's quoting is JSON's for the characters that occur in messages; `\x` forms stay as they are. */
function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    return JSON.parse(text) as string;
  } catch {
    return text.slice(1, -1);
  }
}

/** True if a runtime's words mean that the container or its process is not there. */
export function meansGone(text: string): boolean {
  return /container (?:with id .{0,80} )?does not exist|container not running|no such process|process already finished|invalid process|container is not running|error opening file .*\/status.*No such file/i
    .test(text);
}
