/**
 * When a container that has ended is started again, as a kubelet would decide it.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
 * @module
 */
import type { RestartPolicy } from "./pod_manifest.ts";

/** True if the policy wants a container back that ended with this exit code. */
export function wantsRestart(policy: RestartPolicy, exitCode: number): boolean {
  switch (policy) {
    case "Always":
      return true;
    case "OnFailure":
      return exitCode !== 0;
    case "Never":
      return false;
    default:
      return policy satisfies never;
  }
}

const FIRST_DELAY_MS = 1_000;
const MOST_DELAY_MS = 60_000;
/** A container that ran so long is healthy: the next delay is the first one again. */
const FORGIVEN_AFTER_MS = 600_000;

/** Delays that double: at once, then 1 s, 2 s, 4 s and so on to a minute. */
export class RestartBackOff {
  #nextMs = 0;

  /**
   * How long to wait before the next start.
   *
   * @param ranMs how long the container had run
   */
  delayMs(ranMs: number): number {
    if (ranMs >= FORGIVEN_AFTER_MS) this.#nextMs = 0;
    const delay = this.#nextMs;
    this.#nextMs = delay === 0 ? FIRST_DELAY_MS : Math.min(delay * 2, MOST_DELAY_MS);
    return delay;
  }
}

/** Resolves after the time, or at once when `signal` fires. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
