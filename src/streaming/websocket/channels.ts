/**
 * The channels of Kubernetes in a WebSocket: each message begins with the number of its channel.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { ByteSink, ByteSource } from "../../model/mod.ts";
import { BytePipe } from "../byte_pipe.ts";
import { MESSAGE_BYTES, UNREAD_INPUT_BYTES } from "../limits.ts";
import { CloseCode, Opcode, WebSocketProtocolError } from "./frames.ts";
import type { DataPiece, WebSocket } from "./web_socket.ts";
import { WholeMessage } from "./whole_message.ts";

export interface ChannelsOptions {
  /** How many channels are read, which share what may be unread. */
  readonly inputs: number;
  /** Messages are text: the channel's digit, then base64. */
  readonly base64: boolean;
  /** The client can close a channel alone, by a message of 255 and the channel's number. */
  readonly closable: boolean;
  /** Bytes of a channel came or went. */
  readonly onActivity: () => void;
}

const CLOSE_SIGN = 255;
const ZERO = 0x30;

/** The channels of one WebSocket. What comes for a channel that is not read is dropped. */
export class Channels {
  readonly #webSocket: WebSocket;
  readonly #options: ChannelsOptions;
  readonly #inputs = new Map<number, BytePipe>();
  /** Number of the channel that the message under way belongs to. */
  #channel: number | undefined;
  readonly #message = new WholeMessage();

  constructor(webSocket: WebSocket, options: ChannelsOptions) {
    this.#webSocket = webSocket;
    this.#options = options;
  }

  /** What the client sends in the channel; to be asked for before {@link run}. */
  input(channel: number): ByteSource {
    const pipe = new BytePipe(
      Math.ceil(UNREAD_INPUT_BYTES / this.#options.inputs),
      this.#webSocket.loans,
    );
    this.#inputs.set(channel, pipe);
    return pipe.source;
  }

  /** Nobody wants what comes in the channel any more: its reader gets the end. */
  endInput(channel: number): void {
    this.#inputs.get(channel)?.end();
  }

  /** Its end says nothing to the client: no protocol has a word for it. */
  output(channel: number): ByteSink {
    return {
      write: async (bytes) => {
        this.#options.onActivity();
        if (bytes.length === 0) return await this.#send(channel, bytes);
        for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) {
          await this.#send(channel, bytes.subarray(at, at + MESSAGE_BYTES));
        }
      },
      end: () => Promise.resolve(),
    };
  }

  /** Hands out what comes until the client has closed or is gone; never throws. */
  async run(): Promise<void> {
    await this.#webSocket.receive((piece) => this.#take(piece));
    for (const pipe of this.#inputs.values()) pipe.fail(this.#webSocket.signal.reason);
  }

  #send(channel: number, bytes: Uint8Array): Promise<void> {
    if (!this.#options.base64) {
      return this.#webSocket.send(Opcode.binary, Uint8Array.of(channel), bytes);
    }
    const text = String.fromCharCode(ZERO + channel) + Buffer.from(bytes).toString("base64");
    return this.#webSocket.send(Opcode.text, new TextEncoder().encode(text));
  }

  #take(piece: DataPiece): Promise<void> | undefined {
    this.#options.onActivity();
    if (this.#options.base64) {
      const whole = this.#message.add(piece);
      return whole && this.#takeBase64(whole);
    }
    let { bytes } = piece;
    if (piece.first) this.#channel = undefined;
    if (this.#channel === undefined) {
      const [channel] = bytes;
      // Empty messages keep some clients' connections alive.
      if (channel === undefined) return undefined;
      this.#channel = channel;
      bytes = bytes.subarray(1);
    }
    if (this.#channel === CLOSE_SIGN && this.#options.closable) {
      const whole = this.#message.add({ bytes, last: piece.last });
      return whole && this.#closeChannel(whole);
    }
    return this.#deliver(this.#channel, bytes);
  }

  #takeBase64(bytes: Uint8Array): Promise<void> | undefined {
    const [digit] = bytes;
    if (digit === undefined) return undefined;
    const text = new TextDecoder("latin1").decode(bytes.subarray(1));
    if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
      throw new WebSocketProtocolError(CloseCode.unsupportedData, "A message is not in base64");
    }
    return this.#deliver(digit - ZERO, new Uint8Array(Buffer.from(text, "base64")));
  }

  #closeChannel(bytes: Uint8Array): undefined {
    const [channel] = bytes;
    if (channel === undefined || bytes.length !== 1) {
      throw new WebSocketProtocolError(
        CloseCode.protocolError,
        "The sign to close a channel needs one channel's number",
      );
    }
    this.#inputs.get(channel)?.end();
    return undefined;
  }

  #deliver(channel: number, bytes: Uint8Array): Promise<void> | undefined {
    return this.#inputs.get(channel)?.offer(bytes);
  }
}
