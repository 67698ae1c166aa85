/**
 * A client's TCP or TLS connection as bytes with back-pressure.
 *
 * @module
 */
import { UnavailableError } from "../errors/mod.ts";
import type { ByteSink, ByteSource } from "../model/mod.ts";
import type { ByteDescriptor } from "../sys/mod.ts";

/** What carries the bytes: a TCP socket's descriptor, or TLS above one. */
export type Transport = Pick<ByteDescriptor, "read" | "keep" | "write" | "endWriting" | "close">;

/** Owns its transport. Nothing is read before it is asked for. One write at a time. */
export class Connection implements ByteSink {
  readonly source: ByteSource;
  /** Itself, for what wants to be told which half it has. */
  readonly sink: this = this;
  /** Aborted when the connection is lost or cut; not by an end in order. */
  readonly signal: AbortSignal;
  readonly closed: Promise<void>;
  readonly #transport: Transport;
  readonly #lost = new AbortController();
  readonly #resolveClosed: () => void;
  /** Read too far and given back. */
  #unread: Uint8Array | undefined;
  #ended = false;
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(transport: Transport) {
    this.#transport = transport;
    this.signal = this.#lost.signal;
    this.source = { [Symbol.asyncIterator]: () => this.#chunks() };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
  }

  /** Gives back what was read too far; the next read begins with it. */
  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#unread = bytes;
  }

  /** The next bytes, until the next read; undefined at the end. @throws {UnavailableError} the client is gone */
  async read(): Promise<Uint8Array | undefined> {
    const given = this.#unread;
    this.#unread = undefined;
    if (given !== undefined) return given;
    if (this.#ended) return undefined;
    const chunk = await this.#attempt(() => this.#transport.read());
    if (chunk === undefined) this.#ended = true;
    return chunk;
  }

  /** What was read last stays as it is: something of it is still used. */
  keep(): void {
    this.#transport.keep();
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.writeParts([bytes]);
  }

  /** As {@link write} of all of them, which leave together. */
  writeParts(parts: readonly Uint8Array[]): Promise<void> {
    const written = this.#write(parts);
    this.#lastWrite = written.catch(() => {}); // whoever wrote learns of it
    return written;
  }

  async #write(parts: readonly Uint8Array[]): Promise<void> {
    if (await this.#attempt(() => this.#transport.write(...parts))) return;
    this.cut(new UnavailableError("The client is gone"));
    throw this.signal.reason;
  }

  /** Ends our side, behind what is being written. */
  async end(): Promise<void> {
    await this.#lastWrite;
    if (!this.signal.aborted) this.#transport.endWriting();
  }

  /** Closes at once, whatever is under way. */
  cut(reason: Error): void {
    if (!this.signal.aborted) this.#lost.abort(reason);
    this.#transport.close();
    this.#resolveClosed();
  }

  destroy(): void {
    this.cut(new UnavailableError("The connection was closed"));
  }

  /** Ends our side and waits for the client's, but not longer than `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    if (this.signal.aborted) return;
    const timer = setTimeout(
      () => this.cut(new UnavailableError("The client did not close the connection")),
      timeoutMs,
    );
    try {
      await this.end();
      // What still comes is of no interest, but unread it would keep the end from being seen.
      while (await this.read() !== undefined);
    } catch {
      // The client is gone: closed is closed.
    } finally {
      clearTimeout(timer);
      this.destroy();
    }
  }

  /** @throws {UnavailableError} the client is gone, or the connection was cut meanwhile */
  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    let result: T;
    try {
      result = await work();
    } catch (cause) {
      this.cut(new UnavailableError("The client is gone", { cause }));
      throw this.signal.reason;
    }
    this.signal.throwIfAborted();
    return result;
  }

  /** Not a generator, which would take several turns of the microtask queue for each chunk. */
  #chunks(): AsyncIterator<Uint8Array, undefined> {
    return {
      next: async () => {
        const value = await this.read();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
    };
  }
}
