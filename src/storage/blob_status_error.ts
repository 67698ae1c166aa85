/** @module */
import { type ErrorDetails, type ErrorKind, SauropodError } from "../errors/mod.ts";

/** A source answered a layer's GET with another status than 200. */
export class BlobStatusError extends SauropodError {
  override readonly kind: ErrorKind;
  readonly status: number;
  /** The `WWW-Authenticate` header, empty if there was none. */
  readonly challenge: string;
  /** The `Retry-After` header as written, empty if there was none. */
  readonly retryAfter: string;

  constructor(
    answer: { readonly status: number; readonly challenge: string; readonly retryAfter: string },
    host: string,
    details: ErrorDetails = {},
  ) {
    super(`Cannot fetch the layer from ${host}: it answered status ${answer.status}`, details);
    this.status = answer.status;
    this.challenge = answer.challenge;
    this.retryAfter = answer.retryAfter;
    this.kind = kindOfStatus(answer.status);
  }
}

function kindOfStatus(status: number): ErrorKind {
  switch (status) {
    case 401:
      return "unauthenticated";
    case 403:
      return "permission_denied";
    case 404:
    case 410:
      return "not_found";
    default:
      return "unavailable";
  }
}
