/**
 * A client's TCP or TLS connection as bytes with back-pressure.
 *
 * @module
 */
import type { Socket } from "node:net";
import { UnavailableError } from "../errors/mod.ts";
import type { ByteSink, ByteSource } from "../model/mod.ts";

/** Owns the socket. Made paused: nothing is read before it is asked for. */
export class Connection implements ByteSink {
  readonly source: ByteSource;
  /** Itself, for what wants to be told which half it has. */
  readonly sink: this = this;
  /** Aborted when the connection is lost or cut; not by an end in order. */
  readonly signal: AbortSignal;
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #lost = new AbortController();
  #chunks: Uint8Array[] = [];
  #ended = false;
  #isClosed = false;
  #wakeReader: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.signal = this.#lost.signal;
    this.source = { [Symbol.asyncIterator]: () => this.#read() };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.on("data", (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      // One chunk at a time: the next is read when this one has been taken.
      socket.pause();
      this.#wakeReader?.();
    });
    socket.on("end", () => {
      this.#ended = true;
      this.#wakeReader?.();
    });
    socket.on("error", (error) =>
      this.cut(
        new UnavailableError("The client is gone", {
          cause: error,
        }),
      ));
    socket.once("close", () => {
      this.#isClosed = true;
      if (!this.#ended) this.#lost.abort(new UnavailableError("The client is gone"));
      this.#wakeReader?.();
      resolve();
    });
    socket.pause();
  }

  /** Gives back what was read too far; the next read begins with it. */
  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#chunks.unshift(bytes);
  }

  /** The next bytes, or undefined at the end. @throws {UnavailableError} the client is gone */
  async read(): Promise<Uint8Array | undefined> {
    while (true) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) return chunk;
      if (this.signal.aborted) throw this.signal.reason;
      if (this.#ended || this.#isClosed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
        this.#socket.resume();
      });
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    const socket = this.#socket;
    if (this.signal.aborted || this.#isClosed || socket.writableEnded) {
      return Promise.reject(this.signal.reason ?? new UnavailableError("The client is gone"));
    }
    if (socket.write(bytes)) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      const settle = () => {
        socket.off("drain", settle);
        socket.off("close", settle);
        if (this.#isClosed || socket.destroyed) {
          reject(this.signal.reason ?? new UnavailableError("The client is gone"));
        } else resolve();
      };
      socket.once("drain", settle);
      socket.once("close", settle);
    });
  }

  /** As {@link write} of all of them, which leave together. */
  async writeParts(parts: readonly Uint8Array[]): Promise<void> {
    this.#socket.cork();
    const written = parts.map((part) => this.write(part));
    this.#socket.uncork();
    await Promise.all(written);
  }

  end(): Promise<void> {
    if (!this.#socket.destroyed && !this.#socket.writableEnded) this.#socket.end();
    return Promise.resolve();
  }

  /** Closes at once, whatever is under way. */
  cut(reason: Error): void {
    if (!this.signal.aborted) this.#lost.abort(reason);
    this.#socket.destroy();
    this.#wakeReader?.();
  }

  destroy(): void {
    this.cut(new UnavailableError("The connection was closed"));
  }

  /** Ends our side and waits for the client's, but not longer than `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return;
    await this.end();
    const timer = setTimeout(
      () => this.cut(new UnavailableError("The client did not close the connection")),
      timeoutMs,
    );
    try {
      // What still comes is of no interest, but unread it would keep the end from being seen.
      while (await this.read() !== undefined);
      this.#socket.destroySoon();
      await this.closed;
    } catch {
      // The client is gone: closed is closed.
    } finally {
      clearTimeout(timer);
      this.#socket.destroy();
    }
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    while (true) {
      const chunk = await this.read();
      if (chunk === undefined) return;
      yield chunk;
    }
  }
}
