/** How long the passing of bytes may keep everybody else on the event loop waiting. @module */
import { setImmediate } from "node:timers";

/** About a millisecond's work. */
const BYTES_A_TURN = 1 << 20;
/** What a call and the work around it take, whatever it passes, in bytes that could be copied in the meantime. */
const CALL_BYTES = 16 * 1024;

/** One turn of the event loop, shared by all who pass bytes in it. */
export class Turn {
  #spent = 0;
  #next: Promise<void> | undefined;

  /** Others have had theirs. */
  begin(): void {
    this.#spent = 0;
  }

  /** One call has passed so many bytes. */
  spend(bytes: number): void {
    this.#spent += bytes + CALL_BYTES;
  }

  /** Nobody shall make another call before {@link others}. */
  get over(): boolean {
    return this.#spent >= BYTES_A_TURN;
  }

  /** Resolves when the others have had their turn. */
  async others(): Promise<void> {
    // Of many who wait the first may use up the next turn, too.
    while (this.over) await (this.#next ??= this.#after());
  }

  #after(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#next = undefined;
        this.begin();
        resolve();
      });
    });
  }
}
