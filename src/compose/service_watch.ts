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
}

/** Below it a busy machine would be taken for a dead server. */
const LEAST_WATCHDOG_MS = 1_000;
const NETWORK_READY = "NetworkReady";

export class ServiceWatch implements Disposable {
  readonly #options: ServiceWatchOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  /** A node without a network configuration is a node that waits for one, not a hanging server. */
  #networkWasReady = false;

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
    this.#schedule(watchdogMs / 2);
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
      await this.#tell({ kind: "ready", status });
    }
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(intervalMs: number): void {
    this.#timer = setTimeout(() => {
      void this.#beat(intervalMs).then(() => {
        if (!this.#stopped) this.#schedule(intervalMs);
      });
    }, intervalMs);
  }

  /** A sign of life, if there is reason for one. Never rejects. */
  async #beat(timeoutMs: number): Promise<void> {
    const obstacle = await this.#obstacle(timeoutMs);
    if (this.#stopped) return;
    if (obstacle === undefined) await this.#tell({ kind: "watchdog" });
    else this.#options.log.error("The watchdog gets no sign of life", { reason: obstacle });
  }

  async #obstacle(timeoutMs: number): Promise<string | undefined> {
    try {
      for (const { type, status, reason, message } of await this.#options.conditions(timeoutMs)) {
        if (type === NETWORK_READY) this.#networkWasReady ||= status;
        const counts = type !== NETWORK_READY || this.#networkWasReady;
        if (!status && counts) return `${type} is false: ${reason} ${message}`;
      }
      return undefined;
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
