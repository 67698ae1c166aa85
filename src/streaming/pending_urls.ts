/**
 * URLs that are good for one use and half a minute.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { ResourceExhaustedError, UnavailableError } from "../errors/mod.ts";
import type { Clock } from "../model/mod.ts";
import { PENDING_ARGUMENTS_BYTES, PENDING_URLS_LIMIT, TOKEN_BYTES, URL_LIFE_MS } from "./limits.ts";

interface Pending<T> {
  readonly value: T;
  readonly argumentBytes: number;
  readonly expiresMs: number;
}

/** The string itself, and its place in the list. */
const ARGUMENT_OVERHEAD_BYTES = 32;

/** About what a command line takes in memory. */
export function argumentBytes(args: readonly string[]): number {
  return args.reduce((sum, { length }) => sum + length + ARGUMENT_OVERHEAD_BYTES, 0);
}

/**
 * What was asked for, by the token that stands for it. Tokens are secrets and never logged. What is not
 * used in time is forgotten, also if nobody asks for anything any more. Disposing forgets all.
 */
export class PendingUrls<T> implements Disposable {
  readonly #clock: Clock;
  readonly #lifeMs: number;
  /** In the order in which they expire. */
  readonly #pending = new Map<string, Pending<T>>();
  #argumentBytes = 0;
  /** Runs while something waits. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(clock: Clock, lifeMs = URL_LIFE_MS) {
    this.#clock = clock;
    this.#lifeMs = lifeMs;
  }

  /** How many wait for their use. */
  get size(): number {
    return this.#pending.size;
  }

  /**
   * @param argumentBytes see {@link argumentBytes}
   * @returns a token of 256 random bits that fits into a URL
   * @throws {ResourceExhaustedError} too many wait for their use, or too much
   * @throws {UnavailableError} disposed
   */
  add(value: T, argumentBytes = 0): string {
    if (this.#closed) throw new UnavailableError("The server of streams stops");
    this.#forgetExpired();
    const remedy = `use them, or wait ${this.#lifeMs / 1000} s until they expire`;
    if (this.#pending.size >= PENDING_URLS_LIMIT) {
      throw new ResourceExhaustedError(
        `${PENDING_URLS_LIMIT} streaming URLs have been given out and not used, as many as the ` +
          `limit "streaming URLs not used yet" allows`,
        { remedy },
      );
    }
    if (this.#argumentBytes + argumentBytes > PENDING_ARGUMENTS_BYTES) {
      throw new ResourceExhaustedError(
        `cmd takes ${argumentBytes} bytes, and ${this.#pending.size} streaming URLs that were given out and ` +
          `not used hold ${this.#argumentBytes}: more than the ${PENDING_ARGUMENTS_BYTES} that the limit ` +
          `"arguments of streaming URLs not used yet" allows`,
        { field: "cmd", value: String(argumentBytes), remedy },
      );
    }
    const token = randomBytes(TOKEN_BYTES).toString("base64url");
    const expiresMs = this.#clock.monotonicMs() + this.#lifeMs;
    this.#pending.set(token, { value, argumentBytes, expiresMs });
    this.#argumentBytes += argumentBytes;
    this.#timer ??= this.#wakeIn(this.#lifeMs);
    return token;
  }

  /** What the token stands for, once; undefined if it is unknown, used or expired. */
  take(token: string): T | undefined {
    this.#forgetExpired();
    const pending = this.#pending.get(token);
    if (pending !== undefined) this.#forget(token, pending);
    return pending?.value;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const [token, pending] of this.#pending) this.#forget(token, pending);
  }

  /** @returns when the next one expires */
  #forgetExpired(): number | undefined {
    const now = this.#clock.monotonicMs();
    for (const [token, pending] of this.#pending) {
      if (pending.expiresMs > now) return pending.expiresMs;
      this.#forget(token, pending);
    }
    return undefined;
  }

  #forget(token: string, { argumentBytes }: Pending<T>): void {
    this.#pending.delete(token);
    this.#argumentBytes -= argumentBytes;
    if (this.#pending.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wakeIn(delayMs: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      this.#timer = undefined;
      const nextMs = this.#forgetExpired();
      if (nextMs === undefined) return;
      this.#timer = this.#wakeIn(Math.ceil(nextMs - this.#clock.monotonicMs()));
    }, delayMs);
  }
}
