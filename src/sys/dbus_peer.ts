/**
 * D-Bus with one peer, without a bus between: authentication and framing over a unix socket. The
 * messages themselves are written and read by dbus-native.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Message } from "dbus-native";

interface MessageCodec {
  marshall(message: Message): Uint8Array;
  unmarshall(bytes: Uint8Array): Message;
}

/** Of a message, before its header's fields: byte order, type, flags, version, three lengths. */
const FIXED_HEADER_BYTES = 16;
const BODY_LENGTH_AT = 4;
const FIELDS_LENGTH_AT = 12;
const LITTLE_ENDIAN = "l".charCodeAt(0);
const BIG_ENDIAN = "B".charCodeAt(0);
const LINE_FEED = 10;
const LINE_LIMIT_BYTES = 1_024;
const MESSAGE_LIMIT_BYTES = 1 << 20;
const CHUNK_BYTES = 16 * 1024;

export class DBusPeer implements Disposable {
  readonly #socket: Deno.UnixConn;
  readonly #codec: MessageCodec;
  /** Read, and not yet taken. */
  #bytes = new Uint8Array();

  private constructor(socket: Deno.UnixConn, codec: MessageCodec) {
    this.#socket = socket;
    this.#codec = codec;
  }

  /**
   * Connects and authenticates as this process's user.
   *
   * Everything that authentication needs goes out in one write, as systemctl's does: a conversation
   * line by line was seen to stall with a systemd that answered.
   *
   * @throws {Error} there is no such socket, the peer refuses, or it goes away
   */
  static async connect(path: string, signal: AbortSignal): Promise<DBusPeer> {
    // Loaded by the nodes that need it.
    const codec: MessageCodec = (await import("dbus-native/lib/message.js")).default;
    const socket = await Deno.connect({ transport: "unix", path });
    const peer = new DBusPeer(socket, codec);
    const onAbort = () => peer[Symbol.dispose]();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      signal.throwIfAborted();
      const user = [...String(Deno.uid() ?? 0)].map((digit) => `3${digit}`).join("");
      await peer.#write(new TextEncoder().encode(`\0AUTH EXTERNAL ${user}\r\nBEGIN\r\n`));
      const answer = await peer.#line();
      if (!answer.startsWith("OK")) throw new Error(`The peer answers ${JSON.stringify(answer)}`);
      return peer;
    } catch (error) {
      peer[Symbol.dispose]();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async send(message: Message): Promise<void> {
    await this.#write(this.#codec.marshall(message));
  }

  /** The next message of the peer. @throws {Error} it went away, or sent what is none */
  async receive(): Promise<Message> {
    const header = await this.#peek(FIXED_HEADER_BYTES);
    const order = header[0];
    if (order !== LITTLE_ENDIAN && order !== BIG_ENDIAN) {
      throw new Error("That is no D-Bus message");
    }
    const view = new DataView(header.buffer, header.byteOffset);
    const number = (at: number) => view.getUint32(at, order === LITTLE_ENDIAN);
    const fields = Math.ceil(number(FIELDS_LENGTH_AT) / 8) * 8;
    const length = FIXED_HEADER_BYTES + fields + number(BODY_LENGTH_AT);
    if (length > MESSAGE_LIMIT_BYTES) throw new Error(`A message has ${length} bytes`);
    const bytes = await this.#peek(length);
    this.#bytes = this.#bytes.slice(length);
    return this.#codec.unmarshall(Buffer.from(bytes));
  }

  /** May be repeated. What waits for the peer fails. */
  [Symbol.dispose](): void {
    try {
      this.#socket.close();
    } catch {
      // It is closed.
    }
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#bytes.indexOf(LINE_FEED);
      if (end >= 0) {
        const line = new TextDecoder().decode(this.#bytes.subarray(0, end)).trim();
        this.#bytes = this.#bytes.slice(end + 1);
        return line;
      }
      if (this.#bytes.length > LINE_LIMIT_BYTES) throw new Error("The peer's answer has no end");
      await this.#read();
    }
  }

  async #peek(length: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#bytes.length < length) await this.#read();
    return this.#bytes.subarray(0, length);
  }

  async #read(): Promise<void> {
    const chunk = new Uint8Array(CHUNK_BYTES);
    const count = await this.#socket.read(chunk);
    if (count === null) throw new Error("The peer closed the connection");
    const bytes = new Uint8Array(this.#bytes.length + count);
    bytes.set(this.#bytes);
    bytes.set(chunk.subarray(0, count), this.#bytes.length);
    this.#bytes = bytes;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#socket.write(bytes.subarray(at));
  }
}
