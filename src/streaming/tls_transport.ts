/** Bytes through a TLS socket, with back-pressure. @module */
import type { TLSSocket } from "node:tls";
import { UnavailableError } from "../errors/mod.ts";
import type { Transport } from "./connection.ts";

/** Owns the socket. */
export class TlsTransport implements Transport {
  readonly #socket: TLSSocket;
  #chunks: Uint8Array[] = [];
  #end: { readonly error: Error | undefined } | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      // One chunk at a time: the next is read when this one has been taken.
      socket.pause();
      this.#wakeReader?.();
    });
    socket.on("end", () => this.#finish(undefined));
    socket.on("error", (error) => this.#finish(error));
    socket.once("close", () => this.#finish(new UnavailableError("The connection is closed")));
    socket.pause();
  }

  async read(): Promise<Uint8Array | undefined> {
    while (true) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) return chunk;
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
        this.#socket.resume();
      });
    }
  }

  /** Each chunk has memory of its own. */
  keep(): void {}

  async write(...parts: readonly Uint8Array[]): Promise<boolean> {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return false;
    socket.cork();
    const written = parts.map((part) =>
      new Promise<boolean>((resolve) => {
        socket.write(part, (error) => resolve(error === undefined || error === null));
      })
    );
    socket.uncork();
    return (await Promise.all(written)).every((taken) => taken);
  }

  endWriting(): void {
    if (!this.#socket.destroyed && !this.#socket.writableEnded) this.#socket.end();
  }

  close(): void {
    // Whoever reads is told now, not by an event that may have passed.
    this.#finish(undefined);
    this.#socket.destroy();
  }

  #finish(error: Error | undefined): void {
    this.#end ??= { error };
    this.#wakeReader?.();
  }
}
