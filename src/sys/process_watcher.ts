/**
 * Ends of processes, ours or not, as callbacks: a pidfd each, all in one epoll set.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import type { Fd, Kernel } from "./kernel.ts";
import { type EventPoll, openEventPoll } from "./_event_poll.ts";
import type { ProcessIdentity, ProcessTable, ProcessWatcher } from "./watching.ts";

export interface PidfdWatcherOptions {
  readonly kernel: Kernel;
  readonly processes: ProcessTable;
  /** How readiness reaches the event loop; `thread` only for tests. */
  readonly method?: "aio" | "thread";
}

interface Watch {
  readonly pidfd: Fd;
  readonly onExit: () => void;
}

export class PidfdWatcher implements ProcessWatcher {
  readonly #kernel: Kernel;
  readonly #processes: ProcessTable;
  readonly #poll: EventPoll;
  readonly #watches = new Map<bigint, Watch>();
  #lastKey = 0n;

  constructor({ kernel, processes, method }: PidfdWatcherOptions) {
    this.#kernel = kernel;
    this.#processes = processes;
    this.#poll = openEventPoll({
      kernel,
      onEvents: (events) => {
        for (const { data } of events) this.#ended(data);
      },
      ...(method === undefined ? {} : { method }),
    });
  }

  watchExit(process: ProcessIdentity, onExit: () => void): Disposable {
    const pidfd = this.#pidfdOf(process);
    if (pidfd === undefined) {
      const timer = setTimeout(onExit, 0);
      return { [Symbol.dispose]: () => clearTimeout(timer) };
    }
    const key = ++this.#lastKey;
    try {
      this.#poll.add(pidfd.number, key);
    } catch (error) {
      pidfd.close();
      throw error;
    }
    this.#watches.set(key, { pidfd, onExit });
    this.#poll.keepAlive(true);
    return { [Symbol.dispose]: () => void this.#forget(key) };
  }

  [Symbol.dispose](): void {
    for (const key of [...this.#watches.keys()]) this.#forget(key);
    this.#poll[Symbol.dispose]();
  }

  /** Undefined if the process meant has already ended. */
  #pidfdOf(process: ProcessIdentity): Fd | undefined {
    if (!this.#processes.isAlive(process)) return undefined;
    let pidfd: Fd;
    try {
      pidfd = this.#kernel.pidfdOpen(process.pid);
    } catch (error) {
      if (isErrno(error, "ESRCH")) return undefined;
      throw error;
    }
    using closed = new DisposableStack();
    closed.use(pidfd);
    if (!this.#processes.isAlive(process)) return undefined;
    closed.move();
    return pidfd;
  }

  #ended(key: bigint): void {
    const watch = this.#forget(key);
    if (watch === undefined) return;
    try {
      watch.onExit();
    } catch (error) {
      // A callback's defect must not cost the other processes their news.
      reportError(error);
    }
  }

  #forget(key: bigint): Watch | undefined {
    const watch = this.#watches.get(key);
    if (watch === undefined) return undefined;
    this.#watches.delete(key);
    this.#poll.remove(watch.pidfd.number);
    watch.pidfd.close();
    if (this.#watches.size === 0) this.#poll.keepAlive(false);
    return watch;
  }
}
