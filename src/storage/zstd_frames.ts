/**
 * Where zstd frames begin and end (RFC 8878), found without decompressing. Deno's decoder drops what
 * follows a frame in the same write and takes a cut frame for a whole one; with the ends known, each frame
 * is fed on its own, skippable frames are left out, cut ones and trailing garbage are refused.
 *
 * @module
 */
import { InvalidArgumentError } from "../errors/mod.ts";

/** What to do with a stretch of the blob. */
export interface ZstdPiece {
  readonly bytes: Uint8Array;
  /** True if these bytes complete a frame: the next piece belongs to another. */
  readonly endsFrame: boolean;
}

const FRAME_MAGIC = 0xfd2f_b528;
const SKIPPABLE_MAGIC = 0x184d_2a50;
/**
 * Memory that a frame may ask of the decoder: the largest window of the reference tool without `--long`,
 * `--ultra` included.
 */
const MAX_WINDOW_BYTES = 128 * 1024 * 1024;
/** Magic, descriptor, window, dictionary id, content size: 18 bytes at most. */
const MAX_HEADER_BYTES = 18;

type State =
  | { readonly kind: "magic" }
  | { readonly kind: "skippableSize" }
  | { readonly kind: "descriptor" }
  | { readonly kind: "header"; readonly descriptor: number }
  | { readonly kind: "blockHeader" }
  | { readonly kind: "block"; left: number; readonly last: boolean }
  | { readonly kind: "checksum" }
  | { readonly kind: "skipped"; left: number };

export class ZstdFrames {
  #state: State = { kind: "magic" };
  #checksum = false;
  /** Small field under construction; what is in it has not been handed on yet where it is a header. */
  readonly #field = new Uint8Array(MAX_HEADER_BYTES);
  #filled = 0;
  #wanted = 4;

  /** Cuts a chunk of the blob into pieces of frames. @throws {InvalidArgumentError} it is no zstd frame */
  *push(chunk: Uint8Array): Generator<ZstdPiece> {
    let at = 0;
    let from = 0;
    while (at < chunk.length) {
      const state = this.#state;
      if (state.kind === "block" || state.kind === "skipped") {
        const end = Math.min(chunk.length, at + state.left);
        state.left -= end - at;
        at = end;
        if (state.kind === "skipped") {
          from = at;
          if (state.left === 0) this.#expect({ kind: "magic" }, 4);
        } else if (state.left === 0 && this.#blockEnds(state.last)) {
          yield { bytes: chunk.subarray(from, at), endsFrame: true };
          from = at;
        }
        continue;
      }
      const end = Math.min(chunk.length, at + this.#wanted - this.#filled);
      this.#field.set(chunk.subarray(at, end), this.#filled);
      this.#filled += end - at;
      at = end;
      if (state.kind === "magic" || state.kind === "skippableSize") from = at;
      if (this.#filled < this.#wanted) continue;
      const frameMagic = state.kind === "magic" ? this.#magic() : undefined;
      if (frameMagic !== undefined) yield { bytes: frameMagic, endsFrame: false };
      else if (state.kind !== "magic" && this.#fieldComplete(state)) {
        yield { bytes: chunk.subarray(from, at), endsFrame: true };
        from = at;
      }
    }
    if (from < at) yield { bytes: chunk.subarray(from, at), endsFrame: false };
  }

  /** @throws {InvalidArgumentError} the blob ends within a frame */
  end(): void {
    if (this.#state.kind !== "magic" || this.#filled > 0) {
      throw new InvalidArgumentError("Cannot decompress the layer: its last zstd frame is cut off");
    }
  }

  #expect(state: State, wanted: number): void {
    this.#state = state;
    this.#wanted = wanted;
    this.#filled = 0;
  }

  #view(): DataView {
    return new DataView(this.#field.buffer);
  }

  /** The magic's bytes if they begin a data frame; held back until known, so skippable frames pass unseen. */
  #magic(): Uint8Array | undefined {
    const magic = this.#view().getUint32(0, true);
    if (magic === FRAME_MAGIC) {
      const bytes = this.#field.slice(0, 4);
      this.#expect({ kind: "descriptor" }, 1);
      return bytes;
    }
    if (Math.floor(magic / 16) === SKIPPABLE_MAGIC / 16) {
      this.#expect({ kind: "skippableSize" }, 4);
      return undefined;
    }
    throw new InvalidArgumentError(
      "Cannot decompress the layer: bytes that are no zstd frame stand where one should",
    );
  }

  /** Acts on a complete small field; true if the frame ends with it. */
  #fieldComplete(state: State): boolean {
    switch (state.kind) {
      case "skippableSize": {
        const size = this.#view().getUint32(0, true);
        if (size === 0) this.#expect({ kind: "magic" }, 4);
        else this.#expect({ kind: "skipped", left: size }, 0);
        return false;
      }
      case "descriptor": {
        const descriptor = this.#field[0] ?? 0;
        this.#checksum = (descriptor & 4) !== 0;
        this.#expect({ kind: "header", descriptor }, headerBytes(descriptor));
        return false;
      }
      case "header":
        checkWindow(state.descriptor, this.#field.subarray(0, this.#wanted));
        this.#expect({ kind: "blockHeader" }, 3);
        return false;
      case "blockHeader": {
        const [a = 0, b = 0, c = 0] = this.#field;
        const header = a | (b << 8) | (c << 16);
        const last = (header & 1) !== 0;
        const type = (header >> 1) & 3;
        // An RLE block holds one byte whatever its size says; type 3 is reserved, the decoder refuses it.
        const left = type === 1 ? 1 : header >> 3;
        if (left > 0) this.#expect({ kind: "block", left, last }, 0);
        else return this.#blockEnds(last);
        return false;
      }
      case "checksum":
        this.#expect({ kind: "magic" }, 4);
        return true;
      default:
        return false;
    }
  }

  #blockEnds(last: boolean): boolean {
    if (!last) this.#expect({ kind: "blockHeader" }, 3);
    else if (this.#checksum) this.#expect({ kind: "checksum" }, 4);
    else {
      this.#expect({ kind: "magic" }, 4);
      return true;
    }
    return false;
  }
}

/** Bytes after the descriptor: window descriptor, dictionary id, content size. */
function headerBytes(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  const window = singleSegment ? 0 : 1;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeFlag = descriptor >> 6;
  const contentSize = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  return window + dictionary + contentSize;
}

function checkWindow(descriptor: number, header: Uint8Array): void {
  const singleSegment = (descriptor & 0x20) !== 0;
  let bytes: number;
  if (singleSegment) {
    // Without a window descriptor the window is the content: its size is the last field.
    const width = (descriptor >> 6) === 0 ? 1 : 1 << (descriptor >> 6);
    bytes = 0;
    for (let i = header.length - 1; i >= header.length - width; i--) {
      bytes = bytes * 256 + (header[i] ?? 0);
    }
  } else {
    const byte = header[0] ?? 0;
    const base = 2 ** (10 + (byte >> 3));
    bytes = base + (base / 8) * (byte & 7);
  }
  if (bytes > MAX_WINDOW_BYTES) {
    throw new InvalidArgumentError(
      `Cannot decompress the layer: a zstd frame asks for a window of ${bytes} bytes, the limit is ${MAX_WINDOW_BYTES}`,
    );
  }
}
