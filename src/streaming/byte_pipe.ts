/**
 * Bytes from one writer to one reader, with a bound on what the reader has not taken yet.
 *
 * @module
 */
import type { ByteSink, ByteSource } from "../model/mod.ts";

type End = { readonly kind: "closed" } | { readonly kind: "lost"; readonly error: Error };

/** A pipe in memory. What is written after the reader has left is dropped. */
export class BytePipe implements ByteSink {
  readonly source: ByteSource;
  readonly #limitBytes: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #end: End | undefined;
  #readerLeft = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /** @param limitBytes a write waits while so much or more is unread */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.source = { [Symbol.asyncIterator]: () => this.#read() };
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.offer(bytes) ?? Promise.resolve();
  }

  /** As {@link write}, but says by undefined that there is nothing to wait for. Does not fail. */
  offer(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#end !== undefined || this.#readerLeft || bytes.length === 0) return undefined;
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
    this.#wakeReader?.();
    if (this.#bytes < this.#limitBytes) return undefined;
    return new Promise<void>((resolve) => this.#wakeWriter = resolve);
  }

  end(): Promise<void> {
    this.#finish({ kind: "closed" });
    return Promise.resolve();
  }

  /** The sender is lost: what is unread is dropped and the reader gets the error. */
  fail(error: Error): void {
    if (this.#end === undefined) this.#chunks = [];
    this.#finish({ kind: "lost", error });
  }

  #finish(end: End): void {
    this.#end ??= end;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    try {
      while (true) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          this.#bytes -= chunk.length;
          if (this.#bytes < this.#limitBytes) this.#wakeWriter?.();
          yield chunk;
        } else if (this.#end?.kind === "lost") throw this.#end.error;
        else if (this.#end !== undefined) return;
        else await new Promise<void>((resolve) => this.#wakeReader = resolve);
      }
    } finally {
      this.#readerLeft = true;
      this.#chunks = [];
      this.#wakeWriter?.();
    }
  }
}
