/**
 * Writing to pipes at their reader's pace.
 *
 * An adopted stream will not do for the writing end of a pipe: Deno's socket begins to read it at times,
 * which fails, and the socket ends with all that it has not written yet.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { EPOLLOUT } from "./constants.ts";
import { type EventPoll, openEventPoll } from "./_event_poll.ts";
import type { Fd, Kernel } from "./kernel.ts";

/** The writing end of one pipe, which it owns. */
export interface PipeWriter extends Disposable {
  /**
   * Resolves when all of it is in the pipe; false if nobody reads the pipe any more, or it was closed
   * here. One write at a time.
   */
  write(bytes: Uint8Array): Promise<boolean>;
  /** Tells the reader that no more comes. */
  close(): void;
}

/** Waits for all pipes together, without a thread. */
export class PipeWriters implements Disposable {
  readonly #kernel: Kernel;
  readonly #waiting = new Map<bigint, () => void>();
  #poll: EventPoll | undefined;
  #lastKey = 0n;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  open(fd: Fd): PipeWriter {
    const kernel = this.#kernel;
    kernel.setNonblocking(fd.number, true);
    let stopWaiting = () => {};
    const close = () => {
      // First out of the set: its number may be another's after the close.
      stopWaiting();
      fd.close();
    };
    return {
      write: async (bytes) => {
        let at = 0;
        while (at < bytes.length) {
          if (fd.closed) return false;
          try {
            at += kernel.write(fd.number, bytes.subarray(at));
          } catch (error) {
            if (isErrno(error, "EPIPE")) return false;
            if (!isErrno(error, "EAGAIN")) throw error;
            const wait = this.#writable(fd);
            stopWaiting = wait.stop;
            await wait.ready;
            stopWaiting = () => {};
          }
        }
        return true;
      },
      close,
      [Symbol.dispose]: close,
    };
  }

  [Symbol.dispose](): void {
    this.#poll?.[Symbol.dispose]();
    this.#poll = undefined;
  }

  #writable(fd: Fd): { readonly ready: Promise<void>; readonly stop: () => void } {
    const poll = this.#poll ??= openEventPoll({
      kernel: this.#kernel,
      onEvents: (events) => {
        for (const { data } of events) this.#waiting.get(data)?.();
      },
    });
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const key = ++this.#lastKey;
    const stop = () => {
      if (!this.#waiting.delete(key)) return;
      poll.remove(fd.number);
      if (this.#waiting.size === 0) poll.keepAlive(false);
      resolve();
    };
    this.#waiting.set(key, stop);
    poll.add(fd.number, key, EPOLLOUT);
    poll.keepAlive(true);
    return { ready, stop };
  }
}
