/**
 * Whether pods can get a network: the configuration's word and the plugins' own (STATUS, CNI 1.1).
 *
 * @module
 */
import { errorMessage } from "../errors/mod.ts";
import type { NetworkReadiness, Networks } from "./networks.ts";

export interface NetworkHealthOptions {
  readonly networks: Pick<Networks, "readiness" | "status">;
  /** `cni_status_grace_period`: so long a network that was ready is said to be although it fails. */
  readonly gracePeriodMs: number;
  /** Milliseconds of a clock that is never set back. */
  readonly now?: () => number;
}

/** A plugin that hangs must not hold up the kubelet's question. */
const STATUS_DEADLINE_MS = 5_000;
/** Every client asks every few seconds; a plugin is not asked more often than this. */
const FRESH_MS = 1_000;

export class NetworkHealth {
  readonly #options: NetworkHealthOptions;
  readonly #now: () => number;
  #asked: { readonly atMs: number; readonly answer: Promise<NetworkReadiness> } | undefined;
  #readyAtMs: number | undefined;

  constructor(options: NetworkHealthOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  async readiness(): Promise<NetworkReadiness> {
    const { networks, gracePeriodMs } = this.#options;
    const configured = networks.readiness();
    const readiness = configured.ready ? await this.#plugins() : configured;
    const now = this.#now();
    if (readiness.ready) {
      this.#readyAtMs = now;
      return readiness;
    }
    const isInGrace = this.#readyAtMs !== undefined && now - this.#readyAtMs < gracePeriodMs;
    return isInGrace ? { ready: true } : readiness;
  }

  #plugins(): Promise<NetworkReadiness> {
    const now = this.#now();
    if (this.#asked === undefined || now - this.#asked.atMs >= FRESH_MS) {
      this.#asked = { atMs: now, answer: this.#ask() };
    }
    return this.#asked.answer;
  }

  async #ask(): Promise<NetworkReadiness> {
    try {
      await this.#options.networks.status(AbortSignal.timeout(STATUS_DEADLINE_MS));
      return { ready: true };
    } catch (error) {
      return { ready: false, reason: "NetworkPluginNotReady", message: errorMessage(error) };
    }
  }
}
