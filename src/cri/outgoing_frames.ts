/**
 * How much of an answer has left this process.
 *
 * Under Deno 2.9.3 a write to an HTTP/2 stream is over when nghttp2 has copied it, however long the
 * reader's window stays shut (denoland/deno#36044; why not a later Deno: decision 10). So a stream's
 * progress is read off the frames that its connection writes (RFC 9113, section 4.1): each reaches
 * the socket through `write`, and is out of this process when the kernel has taken it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { DeadlineExceededError } from "../errors/mod.ts";

const HEADER_BYTES = 9;
const DATA = 0x0;

/** Of a DATA frame's payload, what lies in one piece of a connection's bytes. */
interface DataPiece {
  readonly streamId: number;
  readonly payload: Uint8Array;
}

/** Finds the frames in a connection's bytes, wherever these are cut. */
export class FrameScanner {
  readonly #header = new DataView(new ArrayBuffer(HEADER_BYTES));
  /** Bytes of the next header that are there. */
  #headerBytes = 0;
  /** Bytes of the present frame's payload that are not. */
  #payloadLeft = 0;

  /** The payload of DATA frames in the next bytes, without a copy. */
  scan(bytes: Uint8Array): DataPiece[] {
    const found: DataPiece[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#payloadLeft === 0) {
        this.#header.setUint8(this.#headerBytes++, bytes[at++]!);
        if (this.#headerBytes < HEADER_BYTES) continue;
        this.#headerBytes = 0;
        this.#payloadLeft = this.#header.getUint32(0) >>> 8;
        continue;
      }
      const length = Math.min(this.#payloadLeft, bytes.length - at);
      const payload = bytes.subarray(at, at + length);
      this.#payloadLeft -= length;
      at += length;
      if (this.#header.getUint8(3) !== DATA) continue;
      found.push({ streamId: this.#header.getUint32(5) & 0x7fff_ffff, payload });
    }
    return found;
  }
}

/** The progress of one stream that is followed. */
export class StreamProgress {
  #left = 0;
  #waiting: { readonly bytes: number; readonly resolve: () => void } | undefined;

  /** Told of bytes that the kernel has taken. */
  advance(bytes: number): void {
    this.#left += bytes;
    if (this.#waiting === undefined || this.#left < this.#waiting.bytes) return;
    this.#waiting.resolve();
    this.#waiting = undefined;
  }

  /**
   * Resolves when so many bytes of the stream, counted from its beginning, have left. One waits at a
   * time.
   *
   * @param patienceMs after so long it is given up; left out, it is waited for as long as it takes
   * @throws {DeadlineExceededError} the reader took too long
   * @throws the reason of `signal`
   */
  async reach(bytes: number, signal: AbortSignal, patienceMs?: number): Promise<void> {
    signal.throwIfAborted();
    if (this.#left >= bytes) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting = { bytes, resolve };
    const giveUp = () => reject(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    const timer = patienceMs === undefined
      ? undefined
      : setTimeout(() => reject(stalled(patienceMs)), patienceMs);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
    }
  }
}

function stalled(patienceMs: number): DeadlineExceededError {
  return new DeadlineExceededError(
    `The reader of this stream has not taken a message in ${patienceMs / 1000} s`,
    { remedy: "read as it comes, or ask for the list in one answer" },
  );
}

/** Watches what an HTTP/2 session writes to its socket, from the session's first byte. */
export class OutgoingFrames {
  readonly #scanner = new FrameScanner();
  readonly #followed = new Map<number, StreamProgress>();

  constructor(socket: Pick<Socket, "write">) {
    const write = socket.write.bind(socket);
    const watched = (bytes: Uint8Array | string): boolean => {
      const data = this.#scanner.scan(typeof bytes === "string" ? Buffer.from(bytes) : bytes);
      const followed = data.filter(({ streamId }) => this.#followed.has(streamId));
      if (followed.length === 0) return write(bytes);
      return write(bytes, () => {
        for (const { streamId, payload } of followed) {
          this.#followed.get(streamId)?.advance(payload.length);
        }
      });
    };
    // The session writes frames and nothing else, without an encoding or a callback.
    socket.write = watched as Socket["write"];
  }

  /** From now on; its earlier bytes are not counted. Ends when it is disposed of. */
  follow(streamId: number): Disposable & { readonly progress: StreamProgress } {
    const progress = new StreamProgress();
    this.#followed.set(streamId, progress);
    return { progress, [Symbol.dispose]: () => void this.#followed.delete(streamId) };
  }
}
