/**
 * An open WebSocket, the server's side.
 *
 * @module
 */
import { errorMessage, UnavailableError } from "../../errors/mod.ts";
import type { Connection } from "../connection.ts";
import { Loans } from "../loans.ts";
import { FrameTurns } from "../turns.ts";
import { CLOSE_TIMEOUT_MS, KEEP_ALIVE_MS } from "../limits.ts";
import {
  CloseCode,
  closeFrame,
  frame,
  FrameReader,
  Opcode,
  type Received,
  WebSocketProtocolError,
} from "./frames.ts";

export type DataPiece = Received & { readonly kind: "data" };

/** Owns the connection. Its messages have one reader; they may be written from several places. */
export class WebSocket {
  /** Aborted when the client is gone or has closed. */
  readonly signal: AbortSignal;
  /** Of the bytes of the pieces that are received. */
  readonly loans: Loans;
  readonly #over = new AbortController();
  readonly #connection: Connection;
  readonly #reader = new FrameReader();
  readonly #turns = new FrameTurns();
  #writing: Promise<void> = Promise.resolve();
  #closeSent = false;
  /** The piece that was received last is not taken yet. */
  #waits = false;
  #receiving: Promise<void> = Promise.resolve();
  /** Ends the wait for a taker: nobody wants any more data. */
  #leave: () => void = () => {};

  constructor(connection: Connection) {
    this.#connection = connection;
    this.signal = this.#over.signal;
    this.loans = new Loans(() => this.keep());
    const lost = () => this.#abort(connection.signal.reason);
    if (connection.signal.aborted) lost();
    else connection.signal.addEventListener("abort", lost, { once: true });
  }

  /**
   * Reads until the client closes or is gone, or breaks the protocol. Pings are answered. The next
   * piece is read when `take` has resolved.
   *
   * @param take may throw {@link WebSocketProtocolError}; its promise does not fail
   */
  receive(take: (piece: DataPiece) => Promise<void> | undefined): Promise<void> {
    this.#receiving = this.#receive(take);
    return this.#receiving;
  }

  async #receive(take: (piece: DataPiece) => Promise<void> | undefined): Promise<void> {
    // While input waits for the process nothing is read, and so neither pings answered nor an end seen.
    // Unasked pongs (section 5.5.3) keep the client's hope, and fail once it is gone.
    const signs = setInterval(() => {
      if (this.#waits) void this.#write(...frame(Opcode.pong)).catch(() => {});
    }, KEEP_ALIVE_MS / 3);
    try {
      while (true) {
        const chunk = await this.#connection.read();
        if (chunk === undefined) break;
        for (const received of this.#reader.read(chunk)) {
          const turn = this.#turns.next();
          if (turn !== undefined) await turn;
          switch (received.kind) {
            case "data": {
              if (this.#closeSent) break;
              const taken = take(received);
              if (taken !== undefined) await this.#waitFor(taken);
              break;
            }
            case "ping":
              if (this.#closeSent) break;
              await this.#write(...frame(Opcode.pong, received.bytes));
              break;
            case "pong":
              break;
            case "close":
              this.#abort(new UnavailableError("The client has closed the WebSocket"));
              // Section 5.5.1: the answer repeats the code.
              await this.#sendClose(received.code, "");
              return;
            default:
              received satisfies never;
          }
        }
        await this.loans.settled();
      }
      this.#abort(new UnavailableError("The client has closed the connection"));
    } catch (error) {
      if (error instanceof WebSocketProtocolError) {
        await this.#sendClose(error.code, error.message).catch(() => {});
      }
      this.#abort(new UnavailableError(errorMessage(error), { cause: error }));
    } finally {
      clearInterval(signs);
    }
  }

  /** The piece that was received last stays as it is: something of it is still used. */
  keep(): void {
    this.#connection.keep();
  }

  /** Sends one message. Resolves when the connection can take more. @throws {UnavailableError} */
  send(opcode: Opcode, ...parts: readonly Uint8Array[]): Promise<void> {
    return this.#write(...frame(opcode, ...parts));
  }

  /** Says farewell, waits a moment for the client's, and closes the connection. */
  async close(code: CloseCode, reason = ""): Promise<void> {
    const timer = setTimeout(
      () => this.#connection.cut(new UnavailableError("The client did not close the WebSocket")),
      CLOSE_TIMEOUT_MS,
    );
    try {
      await this.#sendClose(code, reason).catch(() => {});
      this.#leave();
      await this.#receiving;
    } finally {
      clearTimeout(timer);
    }
    await this.#connection.close(CLOSE_TIMEOUT_MS);
  }

  async #sendClose(code: number | undefined, reason: string): Promise<void> {
    if (this.#closeSent) return;
    const sent = this.#write(...closeFrame(code, reason));
    this.#closeSent = true;
    await sent;
  }

  #write(...parts: readonly Uint8Array[]): Promise<void> {
    if (this.#closeSent) {
      return Promise.reject(new UnavailableError("The WebSocket is closed"));
    }
    // The socket keeps the order; waiting for one another only paces the writers.
    const mine = this.#writing.then(() => this.#connection.writeParts(parts));
    this.#writing = mine.catch(() => {});
    return mine;
  }

  async #waitFor(taken: Promise<void>): Promise<void> {
    this.#waits = true;
    // One promise for each wait: a race with one that lives as long as the session would keep them all.
    await new Promise<void>((resolve) => {
      this.#leave = resolve;
      void taken.finally(resolve);
      if (this.#closeSent || this.signal.aborted) resolve();
    });
    this.#waits = false;
  }

  #abort(reason: unknown): void {
    this.#leave();
    if (!this.#over.signal.aborted) this.#over.abort(reason);
  }
}
