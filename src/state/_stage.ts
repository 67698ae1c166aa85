/** Where in an operation an error happened. @module */
import { errorMessage, InternalError, SauropodError } from "../errors/mod.ts";

/**
 * The same error with `stage` among its details, unless a deeper one is there; anything that is not a
 * domain error becomes the cause of an InternalError.
 */
export function atStage(error: unknown, stage: string): SauropodError {
  if (!(error instanceof SauropodError)) {
    return new InternalError(errorMessage(error), { stage, cause: error });
  }
  if (error.details.stage === undefined) {
    // Keeps class, stack and identity, which a copy of unknown constructor could not.
    Object.assign(error, { details: { ...error.details, stage } });
  }
  return error;
}

/** Adds what failed while the error was being cleaned up after; its own cause stays first. */
export function withUndoErrors(
  error: SauropodError,
  undoErrors: readonly unknown[],
): SauropodError {
  if (undoErrors.length > 0) {
    const causes = error.cause === undefined ? undoErrors : [error.cause, ...undoErrors];
    error.cause = new AggregateError(causes, `${undoErrors.length} resources could not be undone`);
  }
  return error;
}
