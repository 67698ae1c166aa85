/**
 * Listening sockets whose connections come as descriptors.
 *
 * Deno's own listeners stop accepting for good, without an error, when descriptors run out once.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { type EventPoll, openEventPoll } from "./_event_poll.ts";
import type { Fd, Kernel } from "./kernel.ts";

export interface ListenerOptions {
  readonly kernel: Kernel;
  /** Bound, listening and non-blocking; the listener takes it over. */
  readonly socket: Fd;
  /** Takes over the descriptor of a connection. What it throws goes to {@link onTrouble}. */
  readonly onConnection: (connection: Fd) => void;
  /** The first failure since a connection was taken; clients wait meanwhile. */
  readonly onTrouble: (error: unknown) => void;
}

/** Connections taken before others on the event loop get their turn. */
const BATCH = 64;
/** The kernel does not tell when a descriptor or memory is free again. */
const RETRY_MS = 100;

/** Accepts until it is disposed, and keeps the process alive as long. */
export class Listener implements Disposable {
  readonly #options: ListenerOptions;
  readonly #poll: EventPoll;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #inTrouble = false;
  #closed = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#poll = openEventPoll({ kernel: options.kernel, onEvents: () => this.#accept() });
    this.#poll.keepAlive(true);
    this.#poll.add(options.socket.number, 0n);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#options.socket.close();
    this.#poll[Symbol.dispose]();
  }

  #accept(): void {
    const { kernel, socket } = this.#options;
    for (let taken = 0; taken < BATCH && !this.#closed; taken++) {
      let connection: Fd;
      try {
        connection = kernel.accept(socket.number);
      } catch (error) {
        if (isErrno(error, "EAGAIN")) return;
        // Of a client that has gone while it waited.
        if (isErrno(error, "ECONNABORTED")) continue;
        this.#report(error);
        this.#pause();
        return;
      }
      try {
        this.#options.onConnection(connection);
        this.#inTrouble = false;
      } catch (error) {
        connection.close();
        this.#report(error);
      }
    }
  }

  /** Who waits keeps the socket readable, so that it would be asked again at once. */
  #pause(): void {
    const { socket } = this.#options;
    this.#poll.remove(socket.number);
    this.#retry = setTimeout(() => this.#poll.add(socket.number, 0n), RETRY_MS);
  }

  #report(error: unknown): void {
    if (this.#inTrouble) return;
    this.#inTrouble = true;
    this.#options.onTrouble(error);
  }
}
