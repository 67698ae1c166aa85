/**
 * URLs that are good for one use and half a minute.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { ResourceExhaustedError } from "../errors/mod.ts";
import type { Clock } from "../model/mod.ts";
import { PENDING_URLS_LIMIT, TOKEN_BYTES, URL_LIFE_MS } from "./limits.ts";

interface Pending<T> {
  readonly value: T;
  readonly expiresMs: number;
}

/** What was asked for, by the token that stands for it. Tokens are secrets and never logged. */
export class PendingUrls<T> {
  readonly #clock: Clock;
  /** In the order in which they expire. */
  readonly #pending = new Map<string, Pending<T>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * @returns a token of 256 random bits that fits into a URL
   * @throws {ResourceExhaustedError} too many wait for their use
   */
  add(value: T): string {
    this.#forgetExpired();
    if (this.#pending.size >= PENDING_URLS_LIMIT) {
      throw new ResourceExhaustedError(
        `${PENDING_URLS_LIMIT} streaming URLs have been given out and not used, as many as the ` +
          `limit "streaming URLs not used yet" allows`,
        { remedy: `use them, or wait ${URL_LIFE_MS / 1000} s until they expire` },
      );
    }
    const token = randomBytes(TOKEN_BYTES).toString("base64url");
    this.#pending.set(token, { value, expiresMs: this.#clock.monotonicMs() + URL_LIFE_MS });
    return token;
  }

  /** What the token stands for, once; undefined if it is unknown, used or expired. */
  take(token: string): T | undefined {
    this.#forgetExpired();
    const pending = this.#pending.get(token);
    this.#pending.delete(token);
    return pending?.value;
  }

  #forgetExpired(): void {
    const now = this.#clock.monotonicMs();
    for (const [token, { expiresMs }] of this.#pending) {
      if (expiresMs > now) return;
      this.#pending.delete(token);
    }
  }
}
