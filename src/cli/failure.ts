/** How a failure is told to a person. @module */
import { errorMessage, SauropodError } from "../errors/mod.ts";
import type { Terminal } from "./terminal.ts";

/** The message, then what to do, on a line of its own. */
export function described(error: unknown): string {
  // An error of several steps names each.
  if (error instanceof SuppressedError) {
    return `${described(error.suppressed)}; undoing it: ${described(error.error)}`;
  }
  const remedy = error instanceof SauropodError ? error.details.remedy : undefined;
  return remedy === undefined ? errorMessage(error) : `${errorMessage(error)}\n  ${remedy}`;
}

/** Takes the remedy out of a message of the server, which ends with it. */
export function serverMessage(text: string): [message: string, details: { remedy?: string }] {
  const mark = "; remedy: ";
  const at = text.lastIndexOf(mark);
  return at < 0 ? [text, {}] : [text.slice(0, at), { remedy: text.slice(at + mark.length) }];
}

/** Writes an error to standard error, with what to do about it. */
export function tellError(terminal: Terminal, error: unknown): void {
  terminal.error(`${terminal.paint.error("red", "error:")} ${described(error)}\n`);
}

/** Writes something that is good to know to standard error. */
export function tellNote(terminal: Terminal, text: string): void {
  terminal.error(`${terminal.paint.error("yellow", "note:")} ${text}\n`);
}

/**
 * Does the same to each of several things, prints those it was done to, and goes on after a failure.
 *
 * @returns the exit status
 */
export async function forEach(
  terminal: Terminal,
  names: readonly string[],
  act: (name: string) => Promise<void>,
): Promise<number> {
  let status = 0;
  for (const name of names) {
    try {
      await act(name);
      terminal.out(`${name}\n`);
    } catch (error) {
      tellError(terminal, error);
      status = 1;
    }
  }
  return status;
}
