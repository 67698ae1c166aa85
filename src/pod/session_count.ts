/** How many sessions of a kind there may be at once. @module */
import { ResourceExhaustedError } from "../errors/mod.ts";

/** Sessions of one kind that there are now. */
export class SessionCount {
  readonly #what: string;
  readonly #limit: number;
  #count = 0;

  constructor(what: string, limit: number) {
    this.#what = what;
    this.#limit = limit;
  }

  /** @throws {ResourceExhaustedError} there are as many as there may be */
  enter(): Disposable {
    if (this.#count >= this.#limit) {
      throw new ResourceExhaustedError(
        `There are ${this.#limit} ${this.#what} already, which is the limit`,
        { remedy: "end some of the sessions" },
      );
    }
    this.#count++;
    return { [Symbol.dispose]: () => void this.#count-- };
  }
}
