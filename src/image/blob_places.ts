/**
 * Where a layer is to be had: the endpoints of its image one after the other, each as often as its
 * failures are worth it.
 *
 * @module
 */
import { errorMessage } from "../errors/mod.ts";
import type { Digest } from "../model/mod.ts";
import type { BlobFailure, BlobPlace, BlobPlaces, BlobSetback } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { EndpointFailures } from "./endpoint_failures.ts";
import type { RegistryClient } from "./registry_client.ts";
import { decideRetry, pauseBefore, type RetryPolicy } from "./retry.ts";
import { blobFailureError } from "./status_error.ts";

export interface LayerPlacesOptions {
  /** In the order in which they are asked; not empty. */
  readonly clients: readonly RegistryClient[];
  readonly digest: Digest;
  /** Failures of before; this adds to them. */
  readonly failures: EndpointFailures;
  readonly retry: RetryPolicy;
  /** Attempts at an endpoint that stalls. */
  readonly stallAttempts: number;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Fewer bytes between two failures count as none: a trickle must not keep a pull alive for ever. */
const PROGRESS_BYTES = 1n << 20n;

export class LayerPlaces implements BlobPlaces {
  readonly #options: LayerPlacesOptions;
  #at = 0;
  /** Attempts at the endpoint in use since it last brought something. */
  #attempts = 0;
  #refreshed = false;
  #receivedBytes = 0n;
  #resumed = false;
  #gaveUp: unknown;

  constructor(options: LayerPlacesOptions) {
    this.#options = options;
  }

  /** Index of the endpoint that is asked now, or was last. */
  get at(): number {
    return Math.min(this.#at, this.#options.clients.length - 1);
  }

  /** The blob came in several parts, perhaps of several endpoints. */
  get resumed(): boolean {
    return this.#resumed;
  }

  /** What {@link next} threw, in its own class; undefined if it did not. */
  get gaveUp(): unknown {
    return this.#gaveUp;
  }

  async next(setback: BlobSetback | undefined): Promise<BlobPlace> {
    try {
      if (setback !== undefined) await this.#afterSetback(setback);
      return await this.#place();
    } catch (error) {
      this.#gaveUp = error;
      throw error;
    }
  }

  async #place(): Promise<BlobPlace> {
    const { clients, digest, signal } = this.#options;
    while (true) {
      const client = clients[this.#at];
      if (client === undefined) throw this.#options.failures.error(`layer ${digest}`);
      this.#attempts++;
      try {
        return await client.blobPlace(digest, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        await this.#failed(error);
      }
    }
  }

  async #afterSetback({ failure, receivedBytes }: BlobSetback): Promise<void> {
    const client = this.#options.clients[this.#at]!;
    this.#resumed ||= receivedBytes > 0n;
    if (receivedBytes - this.#receivedBytes >= PROGRESS_BYTES) {
      this.#attempts = 0;
      this.#refreshed = false;
      this.#receivedBytes = receivedBytes;
    }
    if (failure.kind === "status" && failure.status === 401 && !this.#refreshed) {
      // The token ended while the layer was waiting for a worker, or under way.
      this.#refreshed = true;
      client.forgetToken();
      return;
    }
    await this.#failed(blobFailureError(failure, this.#options.digest), failure);
  }

  /** Stays at the endpoint after a pause, or goes on to the next one. */
  async #failed(error: unknown, failure?: BlobFailure): Promise<void> {
    const { clients, retry, stallAttempts, signal, log, digest } = this.#options;
    const client = clients[this.#at]!;
    const attempts = failure?.kind === "stalled" ? stallAttempts : retry.attempts;
    const decision = failure?.kind === "unusable"
      ? { again: false as const }
      : decideRetry(error, this.#attempts);
    const { role, name } = client.endpoint;
    if (decision.again && this.#attempts < attempts) {
      const delayMs = await pauseBefore(this.#attempts, decision, retry, signal);
      if (delayMs !== undefined) {
        log.warn("Going on with a layer", { digest, name, delayMs, error: errorMessage(error) });
        return;
      }
    }
    this.#options.failures.add(client.endpoint, error);
    log.warn("An endpoint did not give a layer", {
      role,
      name,
      digest,
      error: errorMessage(error),
    });
    this.#at++;
    this.#attempts = 0;
    this.#refreshed = false;
  }
}
