/**
 * The main thread's end of the durable worker.
 *
 * Changes that are asked for while a commit is under way go together into the next one: a slow disk
 * makes commits larger, not the queue longer.
 *
 * @module
 */
import { UnavailableError } from "../errors/mod.ts";
import { WorkerChannel, workerUrl } from "../sys/mod.ts";
import type {
  ChangeResult,
  DurableOperations,
  ImageChange,
  ImageContents,
} from "./_durable_messages.ts";
import type { Checkpointer } from "./pod_records.ts";

/** The worker was started again since `open`: nothing was committed. */
export class WorkerRestartedError extends UnavailableError {}

interface Waiting {
  readonly changes: readonly ImageChange[];
  readonly resolve: (results: ChangeResult[]) => void;
  readonly reject: (error: unknown) => void;
}

export class DurableWriter implements Checkpointer, AsyncDisposable {
  readonly #channel = new WorkerChannel<DurableOperations>({
    url: workerUrl(import.meta.url, "./durable_worker.ts"),
    name: "durable worker",
  });
  #waiting: Waiting[] = [];
  #committing = false;
  /** Databases that a worker of this process has had open. */
  readonly #opened = new Set<string>();

  /** Starts the worker early, so that the first call does not wait for it. */
  start(): Promise<void> {
    return this.#channel.start();
  }

  /** Opens `images.db` in the worker, if it is not open there, and reads all of it. */
  async open(path: string, bootId: string): Promise<ImageContents> {
    const closedByDeath = this.#opened.has(path);
    const contents = await this.#channel.call("open", { path, bootId, closedByDeath });
    this.#opened.add(path);
    return contents;
  }

  /**
   * Returns when the changes, all or none, survive a power cut.
   *
   * @throws {WorkerRestartedError} the database is not open in the worker: nothing was committed
   * @throws {UnavailableError} the worker died: whether it committed must be read again
   * @throws {ResourceExhaustedError} the disk is full
   */
  commit(changes: readonly ImageChange[]): Promise<ChangeResult[]> {
    const { promise, resolve, reject } = Promise.withResolvers<ChangeResult[]>();
    this.#waiting.push({ changes, resolve, reject });
    if (!this.#committing) void this.#drain();
    return promise;
  }

  checkpoint(path: string): Promise<void> {
    return this.#channel.call("checkpoint", { path });
  }

  /** Ends the worker as a crash would; the next call starts another. */
  terminate(): void {
    this.#channel.terminate();
  }

  /** Closes the databases, after the commits under way, and ends the worker. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#channel.call("close", null);
    } catch (error) {
      // Its databases are closed by its death as well.
      if (!(error instanceof UnavailableError)) throw error;
    } finally {
      this.#channel[Symbol.dispose]();
    }
  }

  /** Never rejects. */
  async #drain(): Promise<void> {
    this.#committing = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      await this.#commitBatch(batch);
    }
    this.#committing = false;
  }

  async #commitBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      const results = await this.#channel.call("commit", batch.flatMap(({ changes }) => changes));
      if (results === null) throw new WorkerRestartedError("The durable worker was started again");
      let taken = 0;
      for (const { changes, resolve } of batch) {
        resolve(results.slice(taken, taken += changes.length));
      }
    } catch (error) {
      if (batch.length === 1 || error instanceof UnavailableError) {
        for (const { reject } of batch) reject(error);
        return;
      }
      // One caller's mistake is not the others': each alone.
      for (const waiting of batch) await this.#commitBatch([waiting]);
    }
  }
}
