/** Messages that are only understood when they are whole. @module */
import { WHOLE_MESSAGE_LIMIT_BYTES } from "../limits.ts";
import { CloseCode, WebSocketProtocolError } from "./frames.ts";
import type { DataPiece } from "./web_socket.ts";

const FIRST_BYTES = 1024;

/** Joins the pieces of one message after the other. */
export class WholeMessage {
  /** Pieces are copied: views of them would keep alive whatever came between. */
  #buffer = new Uint8Array(0);
  #length = 0;

  /**
   * @returns the message, once the piece is its last
   * @throws {WebSocketProtocolError} it has more than {@link WHOLE_MESSAGE_LIMIT_BYTES}
   */
  add({ bytes, last }: Pick<DataPiece, "bytes" | "last">): Uint8Array | undefined {
    const length = this.#length + bytes.length;
    if (length > WHOLE_MESSAGE_LIMIT_BYTES) {
      throw new WebSocketProtocolError(
        CloseCode.messageTooBig,
        `A message has more than ${WHOLE_MESSAGE_LIMIT_BYTES} bytes`,
      );
    }
    if (last && this.#length === 0) return bytes;
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(FIRST_BYTES, 2 * length));
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = length;
    if (!last) return undefined;
    const whole = this.#buffer.subarray(0, length);
    this.#buffer = new Uint8Array(0);
    this.#length = 0;
    return whole;
  }
}
