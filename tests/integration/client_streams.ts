/** A client's streams as tests hold them: what it sends, what it takes and how fast. @module */
import { CancelledError, FailedPreconditionError, UnavailableError } from "../../src/errors/mod.ts";
import type { ByteSink, ClientStreams, TerminalSize } from "../../src/model/mod.ts";

/** What a test puts in comes out of the loop, until it ends. */
export class Feed<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #wake = Promise.withResolvers<void>();
  #ended = false;

  put(item: T): void {
    this.#items.push(item);
    this.#wake.resolve();
  }

  end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) {
        yield item;
      }
      if (this.#ended) return;
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }
}

/** Keeps what is written until its end, as strictly as a SPDY stream; can be told to take no more. */
export class Collector implements ByteSink {
  readonly #chunks: Uint8Array[] = [];
  readonly #keep: boolean;
  #open = Promise.resolve();
  #release = () => {};
  #watchers: { readonly wanted: string; readonly found: () => void }[] = [];
  readonly #over = Promise.withResolvers<void>();
  /** Resolves with its end. */
  readonly over = this.#over.promise;
  length = 0;
  ended = false;
  /** Throws at each write from now on. */
  gone = false;

  constructor({ keep = true } = {}) {
    this.#keep = keep;
  }

  get text(): string {
    return new TextDecoder().decode(this.bytes());
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#chunks.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  /** Writes wait until `resume`. */
  stall(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#open = promise;
    this.#release = resolve;
  }

  resume(): void {
    this.#release();
  }

  /** Resolves once the text has come. */
  saw(wanted: string): Promise<void> {
    return new Promise((found) => {
      this.#watchers.push({ wanted, found });
      this.#look();
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.gone) throw new UnavailableError("The client is gone");
    if (this.ended) throw new FailedPreconditionError("Cannot write to a stream: it is ended");
    this.length += bytes.length;
    // They are lent until this resolves.
    if (this.#keep) this.#chunks.push(bytes.slice());
    this.#look();
    await this.#open;
  }

  end(): Promise<void> {
    this.ended = true;
    this.#over.resolve();
    return Promise.resolve();
  }

  #look(): void {
    if (this.#watchers.length === 0) return;
    const { text } = this;
    this.#watchers = this.#watchers.filter(({ wanted, found }) => {
      if (!text.includes(wanted)) return true;
      found();
      return false;
    });
  }
}

export class TestClient {
  readonly stdin = new Feed<Uint8Array>();
  readonly stdout: Collector;
  readonly stderr = new Collector();
  readonly resizes = new Feed<TerminalSize>();
  readonly gone = new CancelledError("The client went away");
  readonly #controller = new AbortController();

  constructor({ keep = true } = {}) {
    this.stdout = new Collector({ keep });
  }

  streams(without: readonly ("stdin" | "stdout" | "stderr" | "resizes")[] = []): ClientStreams {
    const all: ClientStreams = {
      stdin: this.stdin,
      stdout: this.stdout,
      stderr: this.stderr,
      resizes: this.resizes,
      signal: this.#controller.signal,
    };
    return { ...all, ...Object.fromEntries(without.map((name) => [name, undefined])) };
  }

  send(text: string): void {
    this.stdin.put(new TextEncoder().encode(text));
  }

  leave(): void {
    this.#controller.abort(this.gone);
  }
}
