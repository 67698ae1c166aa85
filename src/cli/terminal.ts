/** Standard output and error of a command. @module */
import { type Paint, paintFor } from "./style.ts";

export interface Terminal {
  /** Writes all of it before it returns. */
  out(text: string | Uint8Array): void;
  error(text: string | Uint8Array): void;
  /** True if standard error is a terminal: progress may redraw its lines. */
  readonly interactive: boolean;
  /** Size of that terminal; undefined if there is none. */
  readonly size: { readonly columns: number; readonly rows: number } | undefined;
  /** Colours of standard output and standard error. */
  readonly paint: { readonly out: Paint; readonly error: Paint };
  /** Standard input as it comes. */
  input(): ReadableStream<Uint8Array>;
}

/** The process's own. */
export function processTerminal(env: Readonly<Record<string, string | undefined>>): Terminal {
  return {
    paint: {
      out: paintFor("auto", { isTerminal: Deno.stdout.isTerminal(), env }),
      error: paintFor("auto", { isTerminal: Deno.stderr.isTerminal(), env }),
    },
    get size() {
      try {
        return Deno.consoleSize();
      } catch {
        // No terminal has a size.
        return undefined;
      }
    },
    out: (text) => writeAll(Deno.stdout, text),
    error: (text) => writeAll(Deno.stderr, text),
    get interactive(): boolean {
      return Deno.stderr.isTerminal();
    },
    input: () => Deno.stdin.readable,
  };
}

function writeAll(
  stream: { writeSync(bytes: Uint8Array): number },
  text: string | Uint8Array,
): void {
  let bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(stream.writeSync(bytes));
    } catch (error) {
      // The reader has gone (`sauropod logs | head`): nobody is left to write for.
      if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
      // A full non-blocking pipe: its reader needs the processor first.
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
