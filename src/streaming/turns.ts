/** Turns of the event loop within chunks of many small frames. @module */
import { setImmediate } from "node:timers";

/** Frames that are taken apart before others get their turn: below a millisecond, whatever is in them. */
const FRAMES_A_TURN = 256;
/** A compressed block of headers takes so many times as long as another frame. */
export const BLOCK_FRAMES = 8;

/** Counts the frames of one connection. */
export class FrameTurns {
  #frames = 0;

  /** Undefined if the next frame can be looked at without giving way. @param frames what this one counts for */
  next(frames = 1): Promise<void> | undefined {
    this.#frames += frames;
    if (this.#frames < FRAMES_A_TURN) return undefined;
    this.#frames = 0;
    return new Promise((resolve) => void setImmediate(resolve));
  }
}
