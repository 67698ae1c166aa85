/**
 * A gRPC client whose HTTP/2 windows are in the hand of the test. Deno's own client opens them again
 * whether anybody reads or not.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { FrameScanner } from "../../src/cri/outgoing_frames.ts";

/** A flag and a length go before each message of gRPC. */
const PREFIX_BYTES = 5;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME = { data: 0, headers: 1, settings: 4, windowUpdate: 8 } as const;
const FLAG = { ack: 1, endStream: 1, endHeaders: 4 } as const;
/** Of the whole connection, where a stream's number is asked for. */
const CONNECTION = 0;

/** A connection; its calls are told apart by the numbers of their streams. */
export class WindowedClient implements Disposable {
  readonly #socket: Socket;
  readonly #answers = new Map<number, { received: number; pieces: Buffer[] }>();
  #nextStream = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const scanner = new FrameScanner();
    socket.on("data", (bytes: Buffer) => {
      for (const { streamId, payload } of scanner.scan(bytes)) {
        const answer = this.#answers.get(streamId) ?? { received: 0, pieces: [] };
        this.#answers.set(streamId, answer);
        answer.received += payload.length;
        answer.pieces.push(Buffer.from(payload));
      }
    });
    socket.on("error", () => socket.destroy());
  }

  /** The windows are those of the standard: 65,535 bytes for each stream and for all together. */
  static async connect(socketPath: string): Promise<WindowedClient> {
    const socket = connect(socketPath);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    const client = new WindowedClient(socket);
    socket.write(PREFACE);
    socket.write(frame(FRAME.settings, 0, CONNECTION, Buffer.alloc(0)));
    socket.write(frame(FRAME.settings, FLAG.ack, CONNECTION, Buffer.alloc(0)));
    return client;
  }

  /** Calls `path` with an empty request. Returns the number of its stream. */
  call(path: string): number {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const fields = {
      ":method": "POST",
      ":scheme": "http",
      ":path": path,
      ":authority": "localhost",
      "content-type": "application/grpc",
      te: "trailers",
    };
    this.#socket.write(frame(FRAME.headers, FLAG.endHeaders, stream, literals(fields)));
    // A message without fields: no compression, no bytes.
    this.#socket.write(frame(FRAME.data, FLAG.endStream, stream, Buffer.alloc(PREFIX_BYTES)));
    return stream;
  }

  /** Bytes of a call's answer that have come. */
  received(stream: number): number {
    return this.#answers.get(stream)?.received ?? 0;
  }

  /** The messages of a call that have come whole since the last were taken, not decoded. */
  takeMessages(stream: number): Buffer[] {
    const answer = this.#answers.get(stream);
    if (answer === undefined) return [];
    const bytes = Buffer.concat(answer.pieces);
    const messages: Buffer[] = [];
    let at = 0;
    while (at + PREFIX_BYTES <= bytes.length) {
      const end = at + PREFIX_BYTES + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      messages.push(bytes.subarray(at + PREFIX_BYTES, end));
      at = end;
    }
    answer.pieces = [bytes.subarray(at)];
    return messages;
  }

  /** Opens the window of a call, and that of the connection, by so many bytes. */
  grant(stream: number, bytes: number): void {
    const increment = Buffer.alloc(4);
    increment.writeUInt32BE(bytes);
    for (const window of [CONNECTION, stream]) {
      this.#socket.write(frame(FRAME.windowUpdate, 0, window, increment));
    }
  }

  /** Stops taking what comes, as a process does that was stopped by a signal. */
  stopReading(): void {
    this.#socket.pause();
  }

  readOn(): void {
    this.#socket.resume();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** Fields as literals that are not indexed (RFC 7541, section 6.2.2), none as long as 127 bytes. */
function literals(fields: Record<string, string>): Buffer {
  const text = (value: string) => [Buffer.of(value.length), Buffer.from(value)];
  return Buffer.concat(
    Object.entries(fields).flatMap((
      [name, value],
    ) => [Buffer.of(0), ...text(name), ...text(value)]),
  );
}
