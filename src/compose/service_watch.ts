/**
 * This process as a service of systemd's (or of another manager with its protocol): it tells when it
 * serves and when it stops, and gives the watchdog signs of life as long as it answers its own calls.
 *
 * @module
 */
import { errorMessage } from "../errors/mod.ts";
import type { RuntimeCondition } from "../proto/mod.ts";
import type { ServiceEnvironment, ServiceState } from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

export interface ServiceWatchOptions {
  readonly environment: ServiceEnvironment;
  /** Undefined if nobody listens. */
  readonly notify: ((state: ServiceState) => Promise<void>) | undefined;
  /** The conditions of this server's own Status, asked over its socket. */
  readonly conditions: (timeoutMs: number) => Promise<readonly RuntimeCondition[]>;
  readonly log: Logger;
  /** The clock that is waited by; the real one by default. */
  readonly timers?: Timers;
}

export interface Timers {
  /** Calls back once after `ms`. Disposing the result ends the wait. */
  after(ms: number, act: () => void): Disposable;
}

const REAL_TIMERS: Timers = {
  after(ms, act) {
    const timer = setTimeout(act, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** Below it a busy machine would be taken for a dead server. */
const LEAST_WATCHDOG_MS = 1_000;
/**
 * Parts of the watchdog's interval: the wait for the next question, which is also the time for its
 * answer, and the wait after a bad answer. Between two signs of life with one bad answer in between
 * lie 1/4 + 1/4 + 1/10 + 1/4 of it at the most.
 */
const BEAT_PART = 4;
const RETRY_PART = 10;
/** The only condition that a restart could mend: it brings no network configuration back. */
const RUNTIME_READY = "RuntimeReady";

export class ServiceWatch implements Disposable {
  readonly #options: ServiceWatchOptions;
  #wait: Disposable | undefined;
  #stopped = false;

  constructor(options: ServiceWatchOptions) {
    this.#options = options;
  }

  /** The server answers. Starts the signs of life. */
  async ready(status: string): Promise<void> {
    await this.#tell({ kind: "ready", status });
    const { environment: { watchdogMs }, notify, log } = this.#options;
    if (watchdogMs === undefined || notify === undefined || this.#stopped) return;
    if (watchdogMs <= LEAST_WATCHDOG_MS) {
      log.warn("The watchdog's interval is too short and is not served", {
        watchdogMs,
        remedy: "set WatchdogSec to more than 1 s",
      });
      return;
    }
    this.#schedule(watchdogMs / BEAT_PART, watchdogMs);
  }

  async stopping(): Promise<void> {
    this[Symbol.dispose]();
    await this.#tell({ kind: "stopping" });
  }

  /** Around a change of what the server works by. */
  async reloading(status: string, reload: () => Promise<void>): Promise<void> {
    await this.#tell({ kind: "reloading" });
    try {
      await reload();
    } finally {
      // Who has said that it stops is not ready any more.
      if (!this.#stopped) await this.#tell({ kind: "ready", status });
    }
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#wait?.[Symbol.dispose]();
  }

  #schedule(waitMs: number, watchdogMs: number): void {
    const { after } = this.#options.timers ?? REAL_TIMERS;
    this.#wait = after(waitMs, () => {
      void this.#beat(watchdogMs / BEAT_PART).then((wasGood) => {
        if (this.#stopped) return;
        this.#schedule(watchdogMs / (wasGood ? BEAT_PART : RETRY_PART), watchdogMs);
      });
    });
  }

  /** A sign of life, if there is reason for one: false if not. Never rejects. */
  async #beat(timeoutMs: number): Promise<boolean> {
    const obstacle = await this.#obstacle(timeoutMs);
    if (this.#stopped) return false;
    if (obstacle === undefined) await this.#tell({ kind: "watchdog" });
    else this.#options.log.error("The watchdog gets no sign of life", { reason: obstacle });
    return obstacle === undefined;
  }

  async #obstacle(timeoutMs: number): Promise<string | undefined> {
    try {
      const conditions = await this.#options.conditions(timeoutMs);
      const condition = conditions.find(({ type }) => type === RUNTIME_READY);
      if (condition === undefined) return `Status does not tell ${RUNTIME_READY}`;
      const { status, reason, message } = condition;
      return status ? undefined : `${RUNTIME_READY} is false: ${reason} ${message}`;
    } catch (error) {
      return errorMessage(error);
    }
  }

  async #tell(state: ServiceState): Promise<void> {
    try {
      await this.#options.notify?.(state);
    } catch (error) {
      // Without its manager the server still serves.
      this.#options.log.warn("The service manager was not told", { state: state.kind, error });
    }
  }
}
