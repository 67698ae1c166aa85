/**
 * Work by key that identical callers share: the first starts it, later ones join, each hears of the
 * progress, each may leave; when the last has left, the work is cancelled.
 *
 * @module
 */
import { CancelledError } from "../errors/mod.ts";

export interface Joining<Key, Result, Progress> {
  readonly key: Key;
  /** The caller leaves when it fires. */
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Called if nothing of this key is under way. */
  readonly start: (
    cancelled: AbortSignal,
    onProgress: (progress: Progress) => void,
  ) => Promise<Result>;
}

interface Work<Result, Progress> {
  readonly result: Promise<Result>;
  readonly cancel: AbortController;
  readonly listeners: Set<(progress: Progress) => void>;
  callers: number;
}

export class SharedWork<Key, Result, Progress> {
  readonly #works = new Map<Key, Work<Result, Progress>>();

  /** @throws {CancelledError} the caller's signal fired; the work goes on if others wait for it */
  async join(joining: Joining<Key, Result, Progress>): Promise<Result> {
    const { key, signal, onProgress } = joining;
    let work = this.#works.get(key);
    // Work that all have left is ending: a new caller waits for its end and begins anew.
    while (work !== undefined && work.cancel.signal.aborted) {
      await work.result.catch(() => {
        // Its own callers have left; its end is all that matters here.
      });
      work = this.#works.get(key);
    }
    const shared = work ?? this.#start(joining);
    shared.callers++;
    if (onProgress !== undefined) shared.listeners.add(onProgress);
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(new CancelledError("The caller left before the work was done"));
    signal.addEventListener("abort", leave, { once: true });
    if (signal.aborted) leave();
    try {
      return await Promise.race([shared.result, left.promise]);
    } catch (error) {
      // The last one to leave waits until the work is undone, so that nothing is left behind it.
      if (signal.aborted && shared.callers === 1) {
        shared.cancel.abort();
        await shared.result.catch(() => {
          // Cancelled as wanted; `error` tells the caller.
        });
      }
      throw error;
    } finally {
      shared.callers--;
      if (onProgress !== undefined) shared.listeners.delete(onProgress);
      signal.removeEventListener("abort", leave);
    }
  }

  #start({ key, start }: Joining<Key, Result, Progress>): Work<Result, Progress> {
    const cancel = new AbortController();
    const listeners = new Set<(progress: Progress) => void>();
    const work: Work<Result, Progress> = {
      result: start(cancel.signal, (progress) => {
        for (const listener of listeners) listener(progress);
      }).finally(() => this.#works.delete(key)),
      cancel,
      listeners,
      callers: 0,
    };
    // All callers may have left when it fails.
    work.result.catch(() => {});
    this.#works.set(key, work);
    return work;
  }
}
