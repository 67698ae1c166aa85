/** The other end of a session, in memory. @module */
import { UnavailableError } from "../../errors/mod.ts";
import type { ByteConnection } from "../byte_connection.ts";
import { Arrivals } from "../arrivals.ts";
import { controlFrame, dataHeader, FLAG_FIN, FRAME_HEADER_BYTES, FrameType } from "./frames.ts";
import { HeaderEncoder } from "./header_block.ts";

/** Plays a client: what it sends, and what it got. */
export class TestClient {
  readonly connection: ByteConnection;
  readonly #toServer = new Arrivals<Uint8Array>();
  readonly #encoder = new HeaderEncoder();
  readonly #got: Uint8Array[] = [];
  #heard = Promise.withResolvers<void>();
  #gate: Promise<void> | undefined;
  #kept = false;
  destroyed = false;
  ended = false;
  /** Frames that the server has taken from the connection. */
  read = 0;

  constructor() {
    const write = async (parts: readonly Uint8Array[]) => {
      await this.#gate;
      if (this.destroyed) throw new UnavailableError("The client is gone");
      for (const part of parts) this.#got.push(part.slice());
      this.#heard.resolve();
      this.#heard = Promise.withResolvers();
    };
    this.connection = {
      source: this.#counted(),
      sink: {
        write: (bytes) => write([bytes]),
        writeParts: write,
        end: () => {
          this.ended = true;
          this.#toServer.end();
          return Promise.resolve();
        },
      },
      keep: () => void (this.#kept = true),
      destroy: () => {
        this.destroyed = true;
        this.#toServer.fail(new UnavailableError("The connection is destroyed"));
      },
    };
  }

  /** As of a connection, which reads into the same memory again. */
  async *#counted(): AsyncGenerator<Uint8Array> {
    for await (const sent of this.#toServer) {
      const chunk = sent.slice();
      this.read++;
      this.#kept = false;
      yield chunk;
      if (!this.#kept) chunk.fill(0xdb);
    }
  }

  /** What the server sends is not taken until the returned function is called. */
  stall(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return () => {
      this.#gate = undefined;
      resolve();
    };
  }

  send(...chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.#toServer.push(chunk);
  }

  leave(error?: Error): void {
    if (error === undefined) this.#toServer.end();
    else this.#toServer.fail(error);
  }

  open(streamId: number, headers: Readonly<Record<string, string>> = {}, flags = 0): void {
    this.send(synStream(streamId, this.#encoder.encode(new Map(Object.entries(headers))), flags));
  }

  data(streamId: number, text: string | Uint8Array, flags = 0): void {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    this.send(joined(dataHeader(streamId, bytes.length, flags), bytes));
  }

  /** Everything that came so far, in hexadecimal digits. */
  get got(): string {
    return joined(...this.#got).toHex();
  }

  /** Resolves once what came contains these digits. */
  async hears(digits: string): Promise<void> {
    while (!this.got.includes(digits)) await this.#heard.promise;
  }
}

export function synStream(streamId: number, block: Uint8Array, flags = 0): Uint8Array {
  const frame = controlFrame(FrameType.synStream, flags, 10 + block.length);
  new DataView(frame.buffer).setUint32(FRAME_HEADER_BYTES, streamId);
  frame.set(block, FRAME_HEADER_BYTES + 10);
  return frame;
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Frame header and text of a stream, in hexadecimal digits as the client hears them. */
export function frameOf(streamId: number, text: string): string {
  const bytes = new TextEncoder().encode(text);
  return dataHeader(streamId, bytes.length, 0).toHex() + bytes.toHex();
}

export const endOf = (streamId: number): string => dataHeader(streamId, 0, FLAG_FIN).toHex();

/** Frames as moby/spdystream 0.5.1, the library of client-go, writes them on a new connection. */
export const GOLDEN = {
  error:
    "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
  stdin: "800300010000001700000003000000000000c22e555c92929907000000ffff",
  stdout: "800300010000001900000005000000000000c22ac5565c92925f5a02000000ffff",
  /** A forwarded connection's first stream, with FIN. */
  data:
    "800300010100002f00000007000000000000022563060606ce22488c67827202a301866a5071950829f98bc099ccc2c0c200000000ffff",
  ping: "800300060000000400000001",
  goAway: "80030007000000080000000000000000",
} as const;
