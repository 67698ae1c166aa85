/** Trying again: which failures of a registry are worth it, and after how long. @module */
import { CancelledError, errorMessage, UnavailableError } from "../errors/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

export interface RetryPolicy {
  /** The first one included. */
  readonly attempts: number;
  /** Pause before the second attempt; doubled for each further one, less a random part of up to half. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  attempts: 5,
  firstDelayMs: 300,
  maxDelayMs: 30_000,
};

/** A registry that asks to be left alone for a while: status 429, or 503 with a time. */
export class BusyRegistryError extends UnavailableError {
  readonly retryAfterMs: number | undefined;

  constructor(message: string, retryAfterMs: number | undefined) {
    super(message, { remedy: "wait, or ask the registry's owner for a higher limit" });
    this.retryAfterMs = retryAfterMs;
  }
}

/** Nothing listens there: worth less patience than a connection that broke. */
export class ConnectionRefusedError extends UnavailableError {}

/** Whether to try again, and how long the other side wants to be left alone. */
export type RetryDecision =
  | { readonly again: false }
  | { readonly again: true; readonly afterMs?: number };

/** Only what may be different next time: never a wrong name, wrong credentials or wrong content. */
export function decideRetry(error: unknown, attempt: number): RetryDecision {
  if (error instanceof ConnectionRefusedError) return { again: attempt < 2 };
  if (error instanceof BusyRegistryError) {
    return error.retryAfterMs === undefined
      ? { again: true }
      : { again: true, afterMs: error.retryAfterMs };
  }
  return { again: error instanceof UnavailableError };
}

export interface Retrying {
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** What is tried, for the log: `manifest of quay.io/a:b`. */
  readonly what: string;
}

/** Runs `act` until it succeeds, fails for good, or the attempts are used up: then its last error. */
export async function withRetries<T>(
  { policy, signal, log, what }: Retrying,
  act: (attempt: number) => Promise<T>,
): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await act(attempt);
    } catch (error) {
      const decision = decideRetry(error, attempt);
      if (!decision.again || attempt >= policy.attempts || signal.aborted) throw error;
      const delayMs = await pauseBefore(attempt, decision, policy, signal);
      if (delayMs === undefined) throw error;
      log.warn("Trying again", { what, attempt, delayMs, error: errorMessage(error) });
    }
  }
}

/**
 * Waits as long as another attempt should, and says how long that was; undefined, at once, if the other
 * side wants more than the policy's limit: that would only look like a hang, and the caller comes again
 * itself.
 *
 * @throws {CancelledError} the signal fired
 */
export async function pauseBefore(
  attempt: number,
  { afterMs }: Extract<RetryDecision, { again: true }>,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<number | undefined> {
  const delayMs = delayOf(policy, attempt, afterMs);
  if (delayMs > policy.maxDelayMs) return undefined;
  await pause(delayMs, signal);
  return delayMs;
}

function delayOf(policy: RetryPolicy, attempt: number, afterMs: number | undefined): number {
  if (afterMs !== undefined) return Math.ceil(afterMs);
  const full = Math.min(policy.firstDelayMs * 2 ** (attempt - 1), policy.maxDelayMs);
  return Math.round(full * (1 - Math.random() / 2));
}

/** Seconds, or a date (RFC 9110 section 10.2.3); undefined for anything else. */
export function parseRetryAfter(text: string, nowMs: number = Date.now()): number | undefined {
  if (/^\d{1,9}$/.test(text.trim())) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

/** @throws {CancelledError} the signal fired, with its reason as the cause */
export function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancelled = () => {
      clearTimeout(timer);
      reject(new CancelledError("Waiting to try again was cancelled", { cause: signal.reason }));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", cancelled);
      resolve();
    }, delayMs);
    if (signal.aborted) cancelled();
    else signal.addEventListener("abort", cancelled, { once: true });
  });
}
