/**
 * The memory into which one descriptor is read, again and again.
 *
 * New memory for each piece costs more than all else that is done with it: it is cleared, and the garbage
 * collector, which counts it, goes through the whole heap the more often.
 *
 * @module
 */

/** For descriptors that say little: there may be thousands. */
const SMALL_BYTES = 4 * 1024;
/** As much as a pipe of the usual size holds, and more than a message of any client. */
const LARGE_BYTES = 64 * 1024;

export class ReadMemory {
  #bytes = new Uint8Array(0);
  #size = SMALL_BYTES;

  /** Where to read to. */
  free(): Uint8Array {
    if (this.#bytes.length !== this.#size) this.#bytes = new Uint8Array(this.#size);
    return this.#bytes;
  }

  /** What was read; overwritten by the next read unless it is kept. */
  filled(length: number): Uint8Array {
    const bytes = this.#bytes.subarray(0, length);
    if (length === this.#size) this.#size = LARGE_BYTES;
    else if (length <= SMALL_BYTES / 4) this.#size = SMALL_BYTES;
    return bytes;
  }

  /** Leaves what was read to whoever has it. */
  keep(): void {
    this.#bytes = new Uint8Array(0);
  }
}
