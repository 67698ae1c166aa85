/**
 * How a descriptor comes from a worker, which may die at any time: its number is noted in memory that both
 * share as soon as it is there, and not in the answer, which may never come.
 *
 * @module
 */
import type { Fd, Kernel } from "./kernel.ts";

/** Goes along with a call; has room for one. */
export type DescriptorSlot = Int32Array<SharedArrayBuffer>;

const EMPTY = -1;

export function newSlot(): DescriptorSlot {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)).fill(EMPTY);
}

/** On the worker. From here on the descriptor belongs to whoever takes it out. */
export function fillSlot(slot: DescriptorSlot, fd: Fd): void {
  Atomics.store(slot, 0, fd.number);
  fd.release();
}

/** Undefined if there is none, or it was taken before. The caller owns it. */
export function takeFrom(slot: DescriptorSlot, kernel: Pick<Kernel, "own">): Fd | undefined {
  const number = Atomics.exchange(slot, 0, EMPTY);
  return number === EMPTY ? undefined : kernel.own(number);
}
