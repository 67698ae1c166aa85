/**
 * What travels between a {@link WorkerChannel} and its worker: messages, and errors that keep
 * their class and details (structured clone would make plain `Error`s of them).
 *
 * @module
 */
import {
  AlreadyExistsError,
  CancelledError,
  DeadlineExceededError,
  type ErrorDetails,
  type ErrorKind,
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  NotFoundError,
  PermissionDeniedError,
  ResourceExhaustedError,
  SauropodError,
  SyscallError,
  UnauthenticatedError,
  UnavailableError,
  UnimplementedError,
} from "../errors/mod.ts";

export type ToWorker =
  | { readonly kind: "call"; readonly id: number; readonly name: string; readonly request: unknown }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "answer"; readonly ask: number; readonly answer: unknown }
  | { readonly kind: "refusal"; readonly ask: number; readonly error: WireError };

export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "event"; readonly id: number; readonly event: unknown }
  | {
    readonly kind: "ask";
    readonly id: number;
    readonly ask: number;
    readonly question: unknown;
  }
  | {
    readonly kind: "reply";
    readonly id: number;
    readonly reply: unknown;
    /** The worker's thread can no longer be trusted: discard it. */
    readonly retire: boolean;
  }
  | {
    readonly kind: "error";
    readonly id: number;
    readonly error: WireError;
    readonly retire: boolean;
  };

export interface WireError {
  readonly message: string;
  readonly kind: ErrorKind | undefined;
  readonly details: ErrorDetails;
  readonly cause: WireError | undefined;
  readonly stack: string | undefined;
}

const CLASSES: Record<ErrorKind, new (message: string, details?: ErrorDetails) => SauropodError> = {
  invalid_argument: InvalidArgumentError,
  not_found: NotFoundError,
  already_exists: AlreadyExistsError,
  failed_precondition: FailedPreconditionError,
  resource_exhausted: ResourceExhaustedError,
  permission_denied: PermissionDeniedError,
  unauthenticated: UnauthenticatedError,
  unavailable: UnavailableError,
  cancelled: CancelledError,
  deadline_exceeded: DeadlineExceededError,
  unimplemented: UnimplementedError,
  internal: InternalError,
};

/** Causes deeper than this are dropped, so that a cyclic chain ends. */
const CAUSE_DEPTH = 8;

export function toWire(error: unknown, depth = 0): WireError {
  const cause = error instanceof Error ? error.cause : undefined;
  const wireCause = cause === undefined || depth >= CAUSE_DEPTH
    ? undefined
    : toWire(cause, depth + 1);
  if (error instanceof SauropodError) {
    const { cause: _cause, ...details } = error.details;
    return {
      message: error.message,
      kind: error.kind,
      details,
      cause: wireCause,
      stack: error.stack,
    };
  }
  return {
    message: error instanceof Error ? error.message : String(error),
    kind: undefined,
    details: {},
    cause: wireCause,
    stack: error instanceof Error ? error.stack : undefined,
  };
}

export function fromWire(wire: WireError): Error {
  const cause = wire.cause === undefined ? undefined : fromWire(wire.cause);
  const details = cause === undefined ? wire.details : { ...wire.details, cause };
  const error = wire.kind === undefined
    ? new InternalError(wire.message, details)
    : wire.details.syscall !== undefined && wire.details.errno !== undefined
    ? syscallError(wire, details)
    : new CLASSES[wire.kind](wire.message, details);
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}

function syscallError(wire: WireError, details: ErrorDetails): SyscallError {
  const { syscall = "", errno = 0, code = "" } = wire.details;
  const what = wire.message.slice(syscall.length + 1, -(code.length + 2));
  return new SyscallError(syscall, errno, code, what, details);
}
