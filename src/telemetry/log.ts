/**
 * Structured log lines on standard error or a file, as text or JSON.
 *
 * @module
 */

/** The levels of CRI-O's `log_level`, most verbose first. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "panic"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

export type LogFields = Readonly<Record<string, unknown>>;

/** What a room needs for logging. Never throws; never blocks on a reader. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose lines all carry `fields`. */
  with(fields: LogFields): Logger;
}

export interface LogSink {
  write(line: string): void;
}

/** Level and filter are read for every line: an object whose values change changes the logger. */
export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: "text" | "json";
  /** Only lines whose message matches are written. */
  readonly filter?: RegExp | undefined;
  readonly sink: LogSink;
}

/** Makes the process's root logger. */
export function createLogger(options: LoggerOptions): Logger {
  return new LineLogger(options, {});
}

/** A logger that drops everything, for tests. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLogger,
};

class LineLogger implements Logger {
  readonly #options: LoggerOptions;
  readonly #fields: LogFields;

  constructor(options: LoggerOptions, fields: LogFields) {
    this.#options = options;
    this.#fields = fields;
  }

  debug(message: string, fields?: LogFields): void {
    this.#write("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#write("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#write("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#write("error", message, fields);
  }
  with(fields: LogFields): Logger {
    return new LineLogger(this.#options, { ...this.#fields, ...fields });
  }

  #write(level: LogLevel, message: string, fields?: LogFields): void {
    const { level: threshold, filter, format, sink } = this.#options;
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(threshold)) return;
    if (filter !== undefined && !filter.test(message)) return;
    const all = { ...this.#fields, ...fields };
    const time = new Date().toISOString();
    sink.write(
      format === "json"
        ? `${JSON.stringify({ time, level, msg: message, ...jsonFields(all) })}\n`
        : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}${
          textFields(all)
        }\n`,
    );
  }
}

function jsonFields(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, printable(value)]));
}

function textFields(fields: LogFields): string {
  return Object.entries(fields)
    .map(([key, value]) => {
      const text = printable(value);
      return ` ${key}=${JSON.stringify(typeof text === "string" ? text : String(text))}`;
    })
    .join("");
}

/** Errors with all their causes, big integers as text; everything else as it is. */
function printable(value: unknown): unknown {
  if (value instanceof AggregateError) {
    return `${value.message}: [${value.errors.map(printable).join("; ")}]`;
  }
  if (value instanceof Error) {
    return value.cause === undefined
      ? value.message
      : `${value.message}: ${String(printable(value.cause))}`;
  }
  return typeof value === "bigint" ? value.toString() : value;
}
