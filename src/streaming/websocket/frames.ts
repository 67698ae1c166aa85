/**
 * Frames of RFC 6455, the server's side: reading what clients send, writing what they get.
 *
 * @module
 */

import { InvalidArgumentError } from "../../errors/mod.ts";

export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** Status codes of section 7.4 that are used here. */
export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupportedData: 1003,
  invalidPayload: 1007,
  messageTooBig: 1009,
  internalError: 1011,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** What a client sends, as it arrives: a message may come in any number of pieces. */
export type Received =
  | {
    readonly kind: "data";
    readonly bytes: Uint8Array;
    /** The piece begins a message. */
    readonly first: boolean;
    /** The piece ends its message. */
    readonly last: boolean;
  }
  | { readonly kind: "ping" | "pong"; readonly bytes: Uint8Array }
  | { readonly kind: "close"; readonly code: number | undefined };

/** The client breaks the protocol; the connection ends with the code. */
export class WebSocketProtocolError extends InvalidArgumentError {
  readonly code: CloseCode;

  constructor(code: CloseCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Section 5.5: what a control frame may carry. */
const CONTROL_LIMIT_BYTES = 125;
const LONGEST_HEADER_BYTES = 14;
const MASK_BIT = 0x80;
const FIN_BIT = 0x80;
const RESERVED_BITS = 0x70;

interface Frame {
  readonly opcode: number;
  readonly fin: boolean;
  readonly mask: Uint8Array;
  readonly length: number;
}

/** Takes a client's bytes apart, however they are cut. */
export class FrameReader {
  readonly #header = new Uint8Array(LONGEST_HEADER_BYTES);
  #headerBytes = 0;
  #frame: Frame | undefined;
  /** Of the frame under way. */
  #payloadBytes = 0;
  readonly #control = new Uint8Array(CONTROL_LIMIT_BYTES);
  /** A message whose last frame has not come. */
  #inMessage = false;
  /** The message has given a piece already. */
  #begun = false;
  /** Looks at the text of the message under way; undefined in a binary one. */
  #text: TextDecoder | undefined;
  #closed = false;

  /**
   * The events that end in this chunk. Payloads are unmasked in place: the chunk is the reader's.
   *
   * @throws {WebSocketProtocolError} the client breaks a rule of the protocol
   */
  *read(chunk: Uint8Array): Generator<Received, void, undefined> {
    let at = 0;
    // Section 5.5.1: nothing counts behind a close.
    while (!this.#closed) {
      if (this.#frame === undefined) {
        at += this.#readHeader(chunk.subarray(at));
      }
      const frame = this.#frame;
      if (frame === undefined) return;
      if (at === chunk.length && this.#payloadBytes < frame.length) return;
      const piece = chunk.subarray(at, at + frame.length - this.#payloadBytes);
      at += piece.length;
      unmask(piece, frame.mask, this.#payloadBytes);
      yield* this.#piece(frame, piece);
    }
  }

  /** @returns bytes taken; sets the frame when its header is whole */
  #readHeader(bytes: Uint8Array): number {
    let taken = 0;
    while (taken < bytes.length) {
      this.#header[this.#headerBytes++] = bytes[taken++]!;
      if (this.#headerBytes < 2) continue;
      if (this.#headerBytes === 2) this.#checkStart();
      if (this.#headerBytes < headerLength(this.#header[1]!)) continue;
      this.#frame = this.#parseHeader();
      this.#headerBytes = 0;
      this.#payloadBytes = 0;
      break;
    }
    return taken;
  }

  /** As early as possible: what breaks a rule is not waited for. */
  #checkStart(): void {
    const [start = 0, length = 0] = this.#header;
    if ((start & RESERVED_BITS) !== 0) throw broken("A frame has a reserved bit set");
    if ((length & MASK_BIT) === 0) throw broken("A frame of the client is not masked");
    const opcode = start & 0x0f;
    const fin = (start & FIN_BIT) !== 0;
    switch (opcode) {
      case Opcode.continuation:
        if (!this.#inMessage) throw broken("A continuation frame continues no message");
        return;
      case Opcode.text:
      case Opcode.binary:
        if (this.#inMessage) throw broken("A message begins within another");
        return;
      case Opcode.close:
      case Opcode.ping:
      case Opcode.pong:
        if (!fin) throw broken("A control frame is fragmented");
        if ((length & 0x7f) > CONTROL_LIMIT_BYTES) {
          throw broken(`A control frame has more than ${CONTROL_LIMIT_BYTES} bytes`);
        }
        return;
      default:
        throw broken(`A frame has the unknown opcode ${opcode}`);
    }
  }

  #parseHeader(): Frame {
    const [start = 0, second = 0] = this.#header;
    const view = new DataView(this.#header.buffer);
    const short = second & 0x7f;
    const end = headerLength(second);
    let length = short;
    if (short === 126) {
      length = view.getUint16(2);
      if (length < 126) throw broken("A frame's length is not written in the shortest form");
    } else if (short === 127) {
      const long = view.getBigUint64(2);
      if (long < 65_536n) throw broken("A frame's length is not written in the shortest form");
      if (long > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new WebSocketProtocolError(CloseCode.messageTooBig, "A frame is too long");
      }
      length = Number(long);
    }
    const opcode = start & 0x0f;
    const fin = (start & FIN_BIT) !== 0;
    if (opcode < Opcode.close) {
      if (opcode !== Opcode.continuation) {
        this.#begun = false;
        this.#text = opcode === Opcode.text ? utf8Decoder() : undefined;
      }
      this.#inMessage = !fin;
    }
    return { opcode, fin, length, mask: this.#header.slice(end - 4, end) };
  }

  /** The next unmasked bytes of the frame under way. */
  *#piece({ opcode, fin, length }: Frame, bytes: Uint8Array): Generator<Received, void, undefined> {
    if (opcode >= Opcode.close) this.#control.set(bytes, this.#payloadBytes);
    this.#payloadBytes += bytes.length;
    const whole = this.#payloadBytes === length;
    if (whole) this.#frame = undefined;
    if (opcode < Opcode.close) {
      const last = whole && fin;
      const first = !this.#begun;
      // An empty frame within a message says nothing.
      if (bytes.length === 0 && !last && !first) return;
      this.#begun = true;
      if (this.#text !== undefined) checkText(this.#text, bytes, { more: !last });
      yield { kind: "data", bytes, first, last };
    } else if (whole) {
      const payload = this.#control.slice(0, length);
      if (opcode === Opcode.close) {
        this.#closed = true;
        yield { kind: "close", code: closeCode(payload) };
      } else yield { kind: opcode === Opcode.ping ? "ping" : "pong", bytes: payload };
    }
  }
}

/** The parts of a frame for the client: its header, then the payload as it is given. */
export function frame(opcode: Opcode, ...payload: readonly Uint8Array[]): readonly Uint8Array[] {
  const length = payload.reduce((sum, part) => sum + part.length, 0);
  const header = new Uint8Array(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  const view = new DataView(header.buffer);
  header[0] = FIN_BIT | opcode;
  if (length < 126) header[1] = length;
  else if (length < 65_536) {
    header[1] = 126;
    view.setUint16(2, length);
  } else {
    header[1] = 127;
    view.setBigUint64(2, BigInt(length));
  }
  return [header, ...payload];
}

/** A close frame; the reason is cut to what fits. Without a code it says nothing. */
export function closeFrame(code: number | undefined, reason: string): readonly Uint8Array[] {
  if (code === undefined) return frame(Opcode.close);
  const payload = new Uint8Array(CONTROL_LIMIT_BYTES);
  new DataView(payload.buffer).setUint16(0, code);
  // Whole characters only: the text must be UTF-8.
  const { written } = new TextEncoder().encodeInto(reason, payload.subarray(2));
  return frame(Opcode.close, payload.subarray(0, 2 + written));
}

function headerLength(second: number): number {
  const short = second & 0x7f;
  return 6 + (short === 127 ? 8 : short === 126 ? 2 : 0);
}

/** @throws {WebSocketProtocolError} a code that nobody may send (section 7.4), or a reason that is no text */
function closeCode(payload: Uint8Array): number | undefined {
  if (payload.length === 0) return undefined;
  if (payload.length === 1) throw broken("A close frame has half a code");
  const code = new DataView(payload.buffer, payload.byteOffset).getUint16(0);
  const reserved = code < 1000 || code >= 5000 || (code >= 1004 && code <= 1006) ||
    (code >= 1015 && code < 3000);
  if (reserved) throw broken(`A close frame has the code ${code}`);
  checkText(utf8Decoder(), payload.subarray(2), { more: false });
  return code;
}

function utf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
}

/** Section 8.1. @throws {WebSocketProtocolError} the bytes are not UTF-8 */
function checkText(
  decoder: TextDecoder,
  bytes: Uint8Array,
  { more }: { readonly more: boolean },
): void {
  try {
    decoder.decode(bytes, { stream: more });
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new WebSocketProtocolError(CloseCode.invalidPayload, "A text is not in UTF-8");
  }
}

/** Below this the loop by words has no advantage. */
const WORDS_FROM_BYTES = 64;

/** @param offset of the bytes in their frame, which says where in the mask they begin */
function unmask(bytes: Uint8Array, mask: Uint8Array, offset: number): void {
  let at = 0;
  if (bytes.length >= WORDS_FROM_BYTES) {
    while ((bytes.byteOffset + at) % 4 !== 0) bytes[at]! ^= mask[(offset + at++) & 3]!;
    const turned = Uint8Array.from(mask, (_, index) => mask[(offset + at + index) & 3]!);
    const word = new Uint32Array(turned.buffer)[0]!;
    const words = new Uint32Array(
      bytes.buffer,
      bytes.byteOffset + at,
      Math.floor((bytes.length - at) / 4),
    );
    for (let index = 0; index < words.length; index++) words[index]! ^= word;
    at += words.length * 4;
  }
  for (; at < bytes.length; at++) bytes[at]! ^= mask[(offset + at) & 3]!;
}

function broken(message: string): WebSocketProtocolError {
  return new WebSocketProtocolError(CloseCode.protocolError, message);
}
