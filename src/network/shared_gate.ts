/** Work of two sorts: one may run beside its like, the other runs alone. @module */

export class SharedGate {
  readonly #running = new Set<Promise<unknown>>();
  /** The work that runs or waits to run alone. */
  #exclusive: Promise<unknown> | undefined;

  /** Runs beside others that share, after what wants to be alone. */
  async shared<Result>(act: () => Promise<Result>): Promise<Result> {
    while (this.#exclusive !== undefined) await settled(this.#exclusive);
    return await this.#track(act());
  }

  /** Runs once everything that shares has ended; what comes meanwhile waits. */
  async exclusively<Result>(act: () => Promise<Result>): Promise<Result> {
    while (this.#exclusive !== undefined) await settled(this.#exclusive);
    const work = settled(Promise.all([...this.#running].map(settled))).then(act);
    this.#exclusive = work;
    try {
      return await work;
    } finally {
      this.#exclusive = undefined;
    }
  }

  async #track<Result>(work: Promise<Result>): Promise<Result> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }
}

/** A failure belongs to whoever asked for the work. */
async function settled(work: Promise<unknown>): Promise<void> {
  await work.then(() => {}, () => {});
}
