/**
 * Turns whatever a handler throws into a gRPC status. The only place that knows both the errors of
 * the domain and the codes of gRPC.
 *
 * @module
 */
import { status } from "@grpc/grpc-js";
import {
  type ErrorDetails,
  type ErrorKind,
  errorMessage,
  kindOfErrno,
  SauropodError,
  shown,
} from "../errors/mod.ts";
import { STATUS_HEADER_LIMIT_BYTES, STATUS_TEXT_LIMIT_CHARACTERS } from "./limits.ts";

export interface GrpcStatus {
  readonly code: status;
  /** What the client reads. */
  readonly details: string;
  /** False for what no room has foreseen: the caller logs it with its stack. */
  readonly foreseen: boolean;
}

/** What the kubelet does with them: it retries most, treats NOT_FOUND of stop and remove as done. */
const CODES: Readonly<Record<ErrorKind, status>> = {
  invalid_argument: status.INVALID_ARGUMENT,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  failed_precondition: status.FAILED_PRECONDITION,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  permission_denied: status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  unavailable: status.UNAVAILABLE,
  cancelled: status.CANCELLED,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
};

/** The status of any thrown value. */
export function grpcStatus(thrown: unknown): GrpcStatus {
  const error = primaryError(thrown);
  if (error instanceof SauropodError) {
    return {
      code: CODES[error.kind],
      details: limited(describe(error.message, error.details)),
      foreseen: true,
    };
  }
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return { code: status.DEADLINE_EXCEEDED, details: limited(error.message), foreseen: true };
  }
  if (error instanceof DOMException && error.name === "AbortError") {
    return { code: status.CANCELLED, details: limited(error.message), foreseen: true };
  }
  if (isShortage(error)) {
    return {
      code: status.RESOURCE_EXHAUSTED,
      details: limited(`The node has run short: ${error.message}; the log has its origin`),
      foreseen: false,
    };
  }
  return {
    code: status.INTERNAL,
    details: limited(`Unforeseen error: ${errorMessage(error)}; the log has its origin`),
    foreseen: false,
  };
}

/** An error of the platform that tells of a full disk, or of no descriptors or memory left. */
function isShortage(error: unknown): error is Error {
  return error instanceof Error && "code" in error && typeof error.code === "string" &&
    kindOfErrno(error.code) === "resource_exhausted";
}

/**
 * The failure that came first. When undoing fails too, disposal wraps the original as `suppressed`,
 * and that one says why the request failed.
 */
function primaryError(thrown: unknown): unknown {
  let error = thrown;
  for (let depth = 0; depth < 32; depth++) {
    if (error instanceof SuppressedError) error = error.suppressed;
    else if (error instanceof AggregateError && error.errors.length > 0) error = error.errors[0];
    else break;
  }
  return error;
}

/** The message, then what it does not say itself. */
function describe(message: string, details: ErrorDetails): string {
  const { field, value, stage, path, id, remedy } = details;
  const missing = (text: string | undefined) => text !== undefined && !message.includes(text);
  const notes = [
    missing(stage) ? `stage: ${stage}` : "",
    missing(field) ? `field: ${field}` : "",
    missing(value) && !message.includes(shown(value)) ? `value: ${shown(value)}` : "",
    missing(path) ? `path: ${shown(path)}` : "",
    missing(id) ? `id: ${id}` : "",
    remedy === undefined ? "" : `remedy: ${remedy}`,
  ].filter((note) => note !== "");
  return [message, ...notes].join("; ");
}

/**
 * As it can be sent: the library percent-encodes it into a header, which has a size, and half a
 * surrogate pair (a plugin's answer may have one, cutting makes one) would make that throw.
 */
function limited(text: string): string {
  const whole = text.length <= STATUS_TEXT_LIMIT_CHARACTERS && fitsHeader(text.toWellFormed());
  if (whole) return text.toWellFormed();
  let cut = text.slice(0, STATUS_TEXT_LIMIT_CHARACTERS - 3).toWellFormed();
  while (!fitsHeader(cut)) cut = cut.slice(0, cut.length >> 1).toWellFormed();
  return `${cut}...`;
}

function fitsHeader(text: string): boolean {
  return encodeURI(text).length <= STATUS_HEADER_LIMIT_BYTES;
}
