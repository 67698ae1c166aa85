/** How a failure is told to a person. @module */
import { errorMessage, SauropodError } from "../errors/mod.ts";
import type { Terminal } from "./terminal.ts";

/** The message, then what to do. Messages of the server bring theirs along. */
export function described(error: unknown): string {
  // An error of several steps names each.
  if (error instanceof SuppressedError) {
    return `${described(error.suppressed)}; undoing it: ${described(error.error)}`;
  }
  const remedy = error instanceof SauropodError ? error.details.remedy : undefined;
  return remedy === undefined ? errorMessage(error) : `${errorMessage(error)}\n  ${remedy}`;
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
      terminal.error(`error: ${described(error)}\n`);
      status = 1;
    }
  }
  return status;
}
