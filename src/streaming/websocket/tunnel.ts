/** A connection whose bytes travel in the binary messages of a WebSocket. @module */
import type { ByteSource } from "../../model/mod.ts";
import { BytePipe } from "../byte_pipe.ts";
import { CloseCode, Opcode } from "./frames.ts";
import type { WebSocket } from "./web_socket.ts";

/** Where messages begin and end has no meaning. Takes over the WebSocket. */
export class Tunnel {
  readonly source: ByteSource;
  readonly sink: this = this;
  /** The connection below is closed; never fails. */
  readonly closed: Promise<void>;
  readonly #webSocket: WebSocket;
  #closing: Promise<void> | undefined;

  constructor(webSocket: WebSocket) {
    this.#webSocket = webSocket;
    // The reader has its own, larger, buffers: nothing is to wait here.
    const pipe = new BytePipe(1, webSocket.loans);
    this.source = pipe.source;
    this.closed = webSocket.receive(({ bytes }) => pipe.offer(bytes)).then(() => pipe.end()).then(
      () => this.#close(),
    );
  }

  keep(): void {
    this.#webSocket.keep();
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#webSocket.send(Opcode.binary, bytes);
  }

  writeParts(parts: readonly Uint8Array[]): Promise<void> {
    return this.#webSocket.send(Opcode.binary, ...parts);
  }

  /** A tunnel has no half that could end alone. */
  async end(): Promise<void> {
    void this.#close();
    await Promise.resolve();
  }

  destroy(): void {
    void this.#close();
  }

  #close(): Promise<void> {
    this.#closing ??= this.#webSocket.close(CloseCode.normal).catch(() => {});
    return this.#closing;
  }
}
