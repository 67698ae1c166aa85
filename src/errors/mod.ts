/**
 * The errors of the domain, by meaning. Rooms throw these; `cri/grpc_status.ts` alone turns them
 * into gRPC codes and `cli/` into exit texts.
 *
 * A message says what could not be done, on what, and why; sentence case, no final period.
 * `remedy` is the next step for the reader and is appended by the boundaries.
 *
 * @module
 */

/** Every kind of failure a caller may have to tell apart. */
export type ErrorKind =
  | "invalid_argument"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "resource_exhausted"
  | "permission_denied"
  | "unauthenticated"
  | "unavailable"
  | "cancelled"
  | "deadline_exceeded"
  | "unimplemented"
  | "internal";

/** What is known about a failure beyond its message; each field only where it applies. */
export interface ErrorDetails {
  /** Request field or configuration key, dotted, as the user wrote it: `config.linux.sysctls`. */
  readonly field?: string;
  /** The offending value, cut to a readable length by {@link shown}. */
  readonly value?: string;
  /** Step of an operation at which it failed: `network attach`. */
  readonly stage?: string;
  /** What would be right, or what to do next. */
  readonly remedy?: string;
  readonly path?: string;
  readonly syscall?: string;
  readonly errno?: number;
  /** Symbolic errno: `ENOENT`. */
  readonly code?: string;
  /** Id of the sandbox, container or image concerned. */
  readonly id?: string;
  readonly cause?: unknown;
}

/** Base of all errors that are part of the domain's vocabulary. */
export abstract class SauropodError extends Error {
  abstract readonly kind: ErrorKind;
  readonly details: ErrorDetails;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = new.target.name;
    this.details = details;
  }
}

export class InvalidArgumentError extends SauropodError {
  override readonly kind = "invalid_argument";
}
export class NotFoundError extends SauropodError {
  override readonly kind = "not_found";
}
export class AlreadyExistsError extends SauropodError {
  override readonly kind = "already_exists";
}
export class FailedPreconditionError extends SauropodError {
  override readonly kind = "failed_precondition";
}
export class ResourceExhaustedError extends SauropodError {
  override readonly kind = "resource_exhausted";
}
export class PermissionDeniedError extends SauropodError {
  override readonly kind = "permission_denied";
}
export class UnauthenticatedError extends SauropodError {
  override readonly kind = "unauthenticated";
}
export class UnavailableError extends SauropodError {
  override readonly kind = "unavailable";
}
export class CancelledError extends SauropodError {
  override readonly kind = "cancelled";
}
export class DeadlineExceededError extends SauropodError {
  override readonly kind = "deadline_exceeded";
}
export class UnimplementedError extends SauropodError {
  override readonly kind = "unimplemented";
}
export class InternalError extends SauropodError {
  override readonly kind = "internal";
}

/** A system call that failed. `kind` follows from errno, so callers may let it pass. */
export class SyscallError extends SauropodError {
  override readonly kind: ErrorKind;
  readonly errno: number;
  /** Symbolic errno: `ENOENT`. */
  readonly code: string;
  readonly syscall: string;

  constructor(
    syscall: string,
    errno: number,
    code: string,
    what: string,
    details: ErrorDetails = {},
  ) {
    super(`${syscall} ${what}: ${code}`, { ...details, syscall, errno, code });
    this.errno = errno;
    this.code = code;
    this.syscall = syscall;
    this.kind = kindOfErrno(code);
  }
}

/** What a symbolic errno means to a caller. */
export function kindOfErrno(code: string): ErrorKind {
  switch (code) {
    case "ENOENT":
    case "ESRCH":
      return "not_found";
    case "EEXIST":
      return "already_exists";
    case "ENOSPC":
    case "EDQUOT":
    case "EMFILE":
    case "ENFILE":
    case "ENOMEM":
      return "resource_exhausted";
    case "EPERM":
    case "EACCES":
      return "permission_denied";
    case "ENAMETOOLONG":
      return "invalid_argument";
    case "EBUSY":
    case "ENOTEMPTY":
      return "failed_precondition";
    default:
      return "internal";
  }
}

/** True if `error` is a failed system call with one of the given symbolic errnos. */
export function isErrno(error: unknown, ...codes: readonly string[]): error is SyscallError {
  return error instanceof SyscallError && codes.includes(error.code);
}

/** The kind of any thrown value: domain errors have their own, everything else is `internal`. */
export function errorKind(error: unknown): ErrorKind {
  return error instanceof SauropodError ? error.kind : "internal";
}

/** The message of any thrown value. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A value as it may stand in a message: quoted, control characters escaped, at most 128 characters. */
export function shown(value: unknown): string {
  const text = typeof value === "string" ? value : String(value);
  const cut = text.length > 128 ? `${text.slice(0, 125)}...` : text;
  return JSON.stringify(cut);
}
