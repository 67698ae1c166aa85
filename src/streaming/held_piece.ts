/**
 * Pieces of a client's data that wait for their reader.
 *
 * A piece is a view into the chunk in which it was read, and keeps all of that alive. Counted by their
 * lengths alone, single bytes with something else between them would hold the memory of whole chunks.
 *
 * @module
 */

/** Objects around a piece that is held; bounds the number of small ones. */
const PIECE_OVERHEAD_BYTES = 256;

/** The same bytes, in a buffer of at most twice their length. */
export function heldPiece(bytes: Uint8Array): Uint8Array {
  return bytes.length * 2 < bytes.buffer.byteLength ? bytes.slice() : bytes;
}

/** What it counts for in a bound of bytes that are held. */
export function costOf(piece: Uint8Array): number {
  return piece.length + PIECE_OVERHEAD_BYTES;
}
