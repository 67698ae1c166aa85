/**
 * The frames of SPDY/3.1 as they stand on the wire: numbers of the specification, and the frames that
 * a server sends.
 *
 * @module
 */

/** Type of a control frame. */
export const FrameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** SPDY/3 and 3.1 have the same number. */
export const VERSION = 3;

/** The sender has nothing more to say on this stream. */
export const FLAG_FIN = 0x01;
/** Of SYN_STREAM: the receiver may not answer. */
export const FLAG_UNIDIRECTIONAL = 0x02;

/** Why a stream ends. */
export const ResetStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
  internalError: 6,
  streamInUse: 8,
  streamAlreadyClosed: 9,
} as const;
export type ResetStatus = (typeof ResetStatus)[keyof typeof ResetStatus];

/** Why a connection ends. */
export const GoAwayStatus = { ok: 0, protocolError: 1, internalError: 2 } as const;
export type GoAwayStatus = (typeof GoAwayStatus)[keyof typeof GoAwayStatus];

export const FRAME_HEADER_BYTES = 8;

/** Header of a DATA frame; `length` bytes of data must follow it, at most 2^24 - 1. */
export function dataHeader(streamId: number, length: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, streamId);
  view.setUint32(4, length);
  view.setUint8(4, flags);
  return bytes;
}

/** @param block encoded by {@link HeaderEncoder}, in the order in which the frames are sent */
export function synReplyFrame(streamId: number, block: Uint8Array): Uint8Array {
  const bytes = controlFrame(FrameType.synReply, 0, 4 + block.length);
  new DataView(bytes.buffer).setUint32(FRAME_HEADER_BYTES, streamId);
  bytes.set(block, FRAME_HEADER_BYTES + 4);
  return bytes;
}

export function rstStreamFrame(streamId: number, status: ResetStatus): Uint8Array {
  return numbersFrame(FrameType.rstStream, streamId, status);
}

export function pingFrame(id: number): Uint8Array {
  return numbersFrame(FrameType.ping, id);
}

/** @param lastStreamId the newest stream that was taken; 0 for none */
export function goAwayFrame(lastStreamId: number, status: GoAwayStatus): Uint8Array {
  return numbersFrame(FrameType.goAway, lastStreamId, status);
}

function numbersFrame(type: number, ...numbers: readonly number[]): Uint8Array {
  const bytes = controlFrame(type, 0, 4 * numbers.length);
  const view = new DataView(bytes.buffer);
  numbers.forEach((number, index) => view.setUint32(FRAME_HEADER_BYTES + 4 * index, number));
  return bytes;
}

/** A control frame whose body of `length` bytes is still zero. */
export function controlFrame(type: number, flags: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x8000 | VERSION);
  view.setUint16(2, type);
  view.setUint32(4, length);
  view.setUint8(4, flags);
  return bytes;
}
