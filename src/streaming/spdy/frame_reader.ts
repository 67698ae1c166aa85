/** From bytes to frames. @module */
import { FLAG_FIN, FLAG_UNIDIRECTIONAL, FRAME_HEADER_BYTES, FrameType, VERSION } from "./frames.ts";
import { HeaderDecompressor, parseHeaderBlock, type SpdyHeaders } from "./header_block.ts";
import { CONTROL_FRAME_LIMIT_BYTES } from "./limits.ts";
import { SpdyProtocolError, SpdyStreamError } from "./protocol_error.ts";

/** What a client has sent, as far as a server has to act on it. */
export type Frame =
  | {
    readonly kind: "syn-stream";
    readonly streamId: number;
    /** An error: its headers are not as they should be, but those that follow can be read. */
    readonly headers: SpdyHeaders | SpdyStreamError;
    readonly fin: boolean;
    readonly unidirectional: boolean;
  }
  | {
    readonly kind: "headers";
    readonly streamId: number;
    readonly headers: SpdyHeaders | SpdyStreamError;
    readonly fin: boolean;
  }
  /** A piece of a DATA frame, part of the chunk that was read; `fin` with the last one only. */
  | {
    readonly kind: "data";
    readonly streamId: number;
    readonly bytes: Uint8Array;
    readonly fin: boolean;
  }
  | { readonly kind: "rst-stream"; readonly streamId: number; readonly status: number }
  | { readonly kind: "ping"; readonly id: number }
  | { readonly kind: "go-away" }
  /** SETTINGS, WINDOW_UPDATE and what later versions may have added. */
  | { readonly kind: "ignored" };

type State =
  | { readonly kind: "header" }
  | { readonly kind: "data"; readonly streamId: number; left: number; readonly fin: boolean }
  | {
    readonly kind: "control";
    readonly type: number;
    readonly flags: number;
    readonly length: number;
  }
  | { readonly kind: "skipped"; left: number };

const HEADER: State = { kind: "header" };

/** Body lengths that the specification fixes. */
const FIXED_LENGTHS: Readonly<Record<number, number>> = {
  [FrameType.rstStream]: 8,
  [FrameType.ping]: 4,
  [FrameType.goAway]: 8,
  [FrameType.windowUpdate]: 8,
};

const KNOWN: ReadonlySet<number> = new Set(Object.values(FrameType));

/** Takes the bytes of a connection as they come; holds at most one control frame. */
export class FrameReader {
  readonly #decompressor = new HeaderDecompressor();
  /** The beginning of a header or control frame whose rest is in chunks to come. */
  #pending: Uint8Array | undefined;
  #pendingLength = 0;
  #state: State = HEADER;

  /**
   * The frames that end in this chunk, and the data in it. All of it must be read before the next.
   *
   * @throws {SpdyProtocolError} the connection cannot go on
   */
  *frames(chunk: Uint8Array): Generator<Frame, void, void> {
    let rest = chunk;
    while (rest.length > 0) {
      const state = this.#state;
      switch (state.kind) {
        case "header":
        case "control": {
          const length = state.kind === "header" ? FRAME_HEADER_BYTES : state.length;
          const missing = length - this.#pendingLength;
          if (rest.length < missing) {
            this.#pending ??= new Uint8Array(length);
            this.#pending.set(rest, this.#pendingLength);
            this.#pendingLength += rest.length;
            return;
          }
          let whole = rest.subarray(0, missing);
          if (this.#pending !== undefined) {
            this.#pending.set(whole, this.#pendingLength);
            whole = this.#pending;
            this.#pending = undefined;
            this.#pendingLength = 0;
          }
          rest = rest.subarray(missing);
          if (state.kind === "control") {
            this.#state = HEADER;
            yield this.#control(state, whole);
          } else {
            this.#state = begun(whole);
            yield* this.#empty();
          }
          break;
        }
        case "data": {
          const bytes = rest.subarray(0, state.left);
          rest = rest.subarray(bytes.length);
          state.left -= bytes.length;
          const last = state.left === 0;
          if (last) this.#state = HEADER;
          yield { kind: "data", streamId: state.streamId, bytes, fin: last && state.fin };
          break;
        }
        case "skipped": {
          const skipped = Math.min(state.left, rest.length);
          rest = rest.subarray(skipped);
          state.left -= skipped;
          if (state.left === 0) {
            this.#state = HEADER;
            yield { kind: "ignored" };
          }
          break;
        }
      }
    }
  }

  /** The frame that has begun, if nothing follows its header. */
  *#empty(): Generator<Frame, void, void> {
    const state = this.#state;
    if (state.kind === "data" && state.left === 0) {
      this.#state = HEADER;
      const { streamId, fin } = state;
      yield { kind: "data", streamId, bytes: new Uint8Array(0), fin };
    } else if (state.kind === "skipped" && state.left === 0) {
      this.#state = HEADER;
      yield { kind: "ignored" };
    }
  }

  #control(
    { type, flags }: { readonly type: number; readonly flags: number },
    body: Uint8Array,
  ): Frame {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const fin = (flags & FLAG_FIN) !== 0;
    switch (type) {
      case FrameType.synStream: {
        const streamId = streamIdAt(view, 0);
        const headers = this.#headers(body.subarray(10));
        const unidirectional = (flags & FLAG_UNIDIRECTIONAL) !== 0;
        return { kind: "syn-stream", streamId, headers, fin, unidirectional };
      }
      case FrameType.headers: {
        const streamId = streamIdAt(view, 0);
        return { kind: "headers", streamId, headers: this.#headers(body.subarray(4)), fin };
      }
      case FrameType.rstStream:
        return { kind: "rst-stream", streamId: streamIdAt(view, 0), status: view.getUint32(4) };
      case FrameType.ping:
        return { kind: "ping", id: view.getUint32(0) };
      case FrameType.goAway:
        return { kind: "go-away" };
      case FrameType.synReply:
        throw new SpdyProtocolError(
          `SYN_REPLY for stream ${streamIdAt(view, 0)}, but a server opens no streams`,
        );
      default:
        return { kind: "ignored" };
    }
  }

  #headers(block: Uint8Array): SpdyHeaders | SpdyStreamError {
    const plain = this.#decompressor.decompress(block);
    try {
      return parseHeaderBlock(plain);
    } catch (error) {
      if (error instanceof SpdyStreamError) return error;
      throw error;
    }
  }
}

/** What follows a header of eight bytes. */
function begun(header: Uint8Array): State {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const first = view.getUint16(0);
  const flags = view.getUint8(4);
  const length = view.getUint32(4) & 0xff_ffff;
  if ((first & 0x8000) === 0) {
    const streamId = streamIdAt(view, 0);
    return { kind: "data", streamId, left: length, fin: (flags & FLAG_FIN) !== 0 };
  }
  const version = first & 0x7fff;
  if (version !== VERSION) {
    throw new SpdyProtocolError(`A frame of SPDY version ${version}; this is version ${VERSION}`);
  }
  const type = view.getUint16(2);
  if (!KNOWN.has(type)) return { kind: "skipped", left: length };
  if (length > CONTROL_FRAME_LIMIT_BYTES) {
    throw new SpdyProtocolError(
      `A control frame of type ${type} has ${length} bytes, more than ${CONTROL_FRAME_LIMIT_BYTES}`,
    );
  }
  const fixed = FIXED_LENGTHS[type];
  if ((fixed !== undefined && length !== fixed) || length < leastLength(type)) {
    throw new SpdyProtocolError(
      `A control frame of type ${type} has ${length} bytes, not ${fixed ?? leastLength(type)}`,
    );
  }
  return { kind: "control", type, flags, length };
}

function leastLength(type: number): number {
  return type === FrameType.synStream ? 10 : 4;
}

function streamIdAt(view: DataView, at: number): number {
  const id = view.getUint32(at) & 0x7fff_ffff;
  if (id === 0) throw new SpdyProtocolError("A frame for stream 0, which there cannot be");
  return id;
}
