/**
 * What every endpoint that was asked had to say, for one message.
 *
 * @module
 */
import {
  CancelledError,
  type ErrorDetails,
  type ErrorKind,
  errorKind,
  errorMessage,
  SauropodError,
} from "../errors/mod.ts";
import type { Endpoint } from "./endpoints.ts";
import { ConnectionRefusedError } from "./retry.ts";

/** Several endpoints failed; of the kind of the last one, which is the registry itself. */
export class EndpointsError extends SauropodError {
  override readonly kind: ErrorKind;
  /** Nothing listens at the registry itself. */
  readonly connectionRefused: boolean;

  constructor(what: string, failures: readonly EndpointFailure[]) {
    const last = failures.at(-1)!.error;
    const causes = failures.map(({ endpoint: { role, name }, error }) =>
      `${role} ${name}: ${errorMessage(error)}`
    );
    super(
      `Cannot fetch ${what}: ${failures.length} endpoints failed: ${causes.join("; ")}`,
      detailsOf(last, failures.map(({ error }) => error)),
    );
    this.kind = errorKind(last);
    this.connectionRefused = isConnectionRefused(last);
  }
}

/** True if the reason is that nothing listens where the image should come from. */
export function isConnectionRefused(error: unknown): boolean {
  return error instanceof ConnectionRefusedError ||
    error instanceof EndpointsError && error.connectionRefused;
}

/** Who failed, for messages. */
export type FailedPlace = Pick<Endpoint, "role" | "name">;

interface EndpointFailure {
  readonly endpoint: FailedPlace;
  readonly error: unknown;
}

export class EndpointFailures {
  readonly #failures: EndpointFailure[] = [];

  add(endpoint: FailedPlace, error: unknown): void {
    this.#failures.push({ endpoint, error });
  }

  /** A list of its own that begins with what is in this one. */
  copy(): EndpointFailures {
    const copy = new EndpointFailures();
    copy.#failures.push(...this.#failures);
    return copy;
  }

  /**
   * The only failure itself, or one error for all of them.
   *
   * @param what `manifest v1 of quay.io/a`
   */
  error(what: string): unknown {
    const [only, second] = this.#failures;
    if (only === undefined) return new CancelledError(`Fetching ${what} was cancelled`);
    return second === undefined ? only.error : new EndpointsError(what, this.#failures);
  }
}

function detailsOf(last: unknown, errors: readonly unknown[]): ErrorDetails {
  const { remedy, path, field } = last instanceof SauropodError ? last.details : {};
  return {
    ...(remedy === undefined ? {} : { remedy }),
    ...(path === undefined ? {} : { path }),
    ...(field === undefined ? {} : { field }),
    cause: new AggregateError(errors, "Each endpoint had its own reason"),
  };
}
