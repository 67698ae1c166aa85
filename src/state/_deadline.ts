/** Work against a deadline, when the work may not listen. @module */
import { DeadlineExceededError } from "../errors/mod.ts";

export interface DeadlineOptions {
  /** Milliseconds until the signal fires. */
  readonly deadlineMs: number;
  /** Milliseconds after it until the work is given up. */
  readonly graceMs: number;
  /** What takes too long, as the beginning of a sentence. */
  readonly what: string;
  readonly stage: string;
  /** Fires the work's signal, too; it has until the deadline to end then. */
  readonly cancel?: AbortSignal;
}

export type DeadlineResult<T> =
  | { readonly kind: "ended"; readonly value: T }
  | { readonly kind: "failed"; readonly error: unknown }
  /** It ended, well or not, but only after its signal had fired. */
  | { readonly kind: "late"; readonly value: T | undefined; readonly error: DeadlineExceededError }
  /** It still runs: `settled` resolves when it has ended, if ever. Never rejects. */
  | {
    readonly kind: "abandoned";
    readonly error: DeadlineExceededError;
    readonly settled: Promise<void>;
  };

/** Runs `work`; its signal fires at the deadline or with `cancel`. Never rejects. */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<DeadlineResult<T>> {
  const controller = new AbortController();
  const { cancel, deadlineMs, graceMs } = options;
  const onCancel = () => controller.abort(cancel?.reason);
  if (cancel?.aborted === true) onCancel();
  cancel?.addEventListener("abort", onCancel, { once: true });

  let deadline: DeadlineExceededError | undefined;
  const given = Promise.withResolvers<"abandoned">();
  let timer = setTimeout(() => {
    deadline = tooLong(options, "took longer than");
    controller.abort(deadline);
    timer = setTimeout(() => given.resolve("abandoned"), graceMs);
  }, deadlineMs);

  const outcome: Promise<DeadlineResult<T>> = Promise.try(() => work(controller.signal)).then(
    (value) =>
      deadline === undefined ? { kind: "ended", value } : { kind: "late", value, error: deadline },
    (error) =>
      deadline === undefined
        ? { kind: "failed", error }
        : { kind: "late", value: undefined, error: withCause(deadline, error) },
  );
  const first = await Promise.race([outcome, given.promise]);
  clearTimeout(timer);
  cancel?.removeEventListener("abort", onCancel);
  if (first !== "abandoned") return first;
  return {
    kind: "abandoned",
    error: tooLong(options, `did not stop ${graceMs} ms after its deadline of`),
    settled: outcome.then(() => {}),
  };
}

function tooLong({ what, stage, deadlineMs }: DeadlineOptions, how: string): DeadlineExceededError {
  return new DeadlineExceededError(`${what} ${how} ${deadlineMs} ms`, { stage });
}

/** The work's own error says where it was; its being told to stop is no news. */
function withCause(deadline: DeadlineExceededError, error: unknown): DeadlineExceededError {
  // What waited in vain names itself, such as a plugin: the caller is to read it.
  if (error !== deadline && error instanceof DeadlineExceededError) {
    const { stage } = deadline.details;
    return new DeadlineExceededError(`${deadline.message}: ${error.message}`, {
      ...error.details,
      ...(stage === undefined ? {} : { stage }),
      cause: error,
    });
  }
  if (error !== deadline) deadline.cause = error;
  return deadline;
}
