/**
 * What the answer of a registry means, in the domain's words.
 *
 * @module
 */
import {
  FailedPreconditionError,
  NotFoundError,
  PermissionDeniedError,
  type SauropodError,
  UnauthenticatedError,
  UnavailableError,
} from "../errors/mod.ts";
import type { Digest } from "../model/mod.ts";
import type { BlobFailure } from "../storage/mod.ts";
import { BusyRegistryError, ConnectionRefusedError, parseRetryAfter } from "./retry.ts";

export interface RefusedAnswer {
  readonly status: number;
  readonly retryAfter: string;
  /** What could not be fetched from where, as a whole sentence up to its colon. */
  readonly message: string;
  /** Credentials were sent. */
  readonly authenticated: boolean;
}

export function statusError(
  { status, retryAfter, message, authenticated }: RefusedAnswer,
): SauropodError {
  switch (status) {
    case 401:
      return new UnauthenticatedError(message, {
        remedy: authenticated
          ? "check the user name and password"
          : "give credentials with the pull, or name a global_auth_file",
      });
    case 403:
      return new PermissionDeniedError(message, {
        remedy: "check that these credentials may read the repository",
      });
    case 404:
    case 410:
      return new NotFoundError(message, { remedy: "check the image's name, tag and registry" });
    case 429:
    case 503:
      return new BusyRegistryError(message, parseRetryAfter(retryAfter));
    default:
      return status >= 500 || status === 408
        ? new UnavailableError(message)
        : new FailedPreconditionError(message);
  }
}

/** The failure of a place that a layer was asked of. */
export function blobFailureError(failure: BlobFailure, digest: Digest): SauropodError {
  const what = `Cannot fetch the layer ${digest} from ${failure.host}`;
  switch (failure.kind) {
    case "status":
      return statusError({
        ...failure,
        message: `${what}: it answered ${failure.status}`,
        authenticated: true,
      });
    case "broken":
      return /connection refused|ECONNREFUSED/i.test(failure.why)
        ? new ConnectionRefusedError(`${what}: ${failure.why}`)
        : new UnavailableError(`${what}: the connection broke: ${failure.why}`);
    case "stalled":
      return new UnavailableError(`${what}: it stalled: ${failure.why}`, {
        remedy: "check the line to it, or raise pull_progress_timeout",
      });
    case "unusable":
      return new FailedPreconditionError(`${what}: ${failure.why}`);
  }
}
