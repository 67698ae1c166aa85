/** Standard output and error of a command. @module */

export interface Terminal {
  /** Writes all of it before it returns. */
  out(text: string | Uint8Array): void;
  error(text: string | Uint8Array): void;
  /** True if standard error is a terminal: progress may redraw its line. */
  readonly interactive: boolean;
  /** Standard input as it comes. */
  input(): ReadableStream<Uint8Array>;
}

/** The process's own. */
export function processTerminal(): Terminal {
  return {
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
