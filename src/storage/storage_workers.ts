/**
 * The threads of the storage: some that unpack layers, one for walks, removals and syncs.
 *
 * @module
 */
import { ReplyOf, RequestOf, WorkerChannel, WorkerPool, workerUrl } from "../sys/mod.ts";
import type { MergeRequest } from "./layer_merge.ts";
import type { BlobPlaces, LayerProgress } from "./layers.ts";
import type { DiskOperations, UnpackOperations } from "./storage_operations.ts";
import type { UnpackReply, UnpackRequest } from "./unpacking.ts";

export interface UnpackOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: LayerProgress) => void;
  /** Where the blob of an `http` source is to be had. */
  readonly places?: BlobPlaces;
}

export interface StorageWorkersOptions {
  /** Threads that unpack; the number of processors by default. */
  readonly unpackers?: number;
}

/** Streams at a time on one thread: while one waits for the network the other unpacks. */
const STREAMS_A_THREAD = 2;
/** Unpackers that had nothing to do for so long are ended: each holds 40 MB and starts in 50 ms. */
const IDLE_MS = 15_000;

export class StorageWorkers implements Disposable {
  readonly #unpackers: WorkerPool<UnpackOperations>;
  readonly #copier: WorkerChannel<UnpackOperations>;
  readonly #disk: WorkerChannel<DiskOperations>;
  #free: number;
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StorageWorkersOptions = {}) {
    const size = options.unpackers ?? navigator.hardwareConcurrency;
    this.#free = size * STREAMS_A_THREAD;
    this.#unpackers = new WorkerPool<UnpackOperations>({
      url: workerUrl(import.meta.url, "./unpack_worker.ts"),
      name: "The unpack worker",
      size,
      maxInFlight: STREAMS_A_THREAD,
      maxYoungGenerationSizeMb: 2,
    });
    this.#copier = new WorkerChannel<UnpackOperations>({
      url: workerUrl(import.meta.url, "./unpack_worker.ts"),
      name: "The copy worker",
      maxYoungGenerationSizeMb: 2,
    });
    this.#disk = new WorkerChannel<DiskOperations>({
      url: workerUrl(import.meta.url, "./disk_worker.ts"),
      name: "The disk worker",
    });
  }

  /** Starts the threads, so that the first pull need not wait for them. */
  async start(): Promise<void> {
    await Promise.all([this.#unpackers.start(), this.#disk.start()]);
  }

  /** Unpacks one layer as soon as a thread is free, in the order of the calls. */
  unpack(request: UnpackRequest, options: UnpackOptions): Promise<UnpackReply> {
    const { signal, onProgress, places } = options;
    return this.#inUse(() =>
      this.#inTurn(() =>
        this.#unpackers.call("unpack", request, {
          signal,
          onEvent: onProgress,
          ...(places === undefined ? {} : { onAsk: (setback) => places.next(setback) }),
        })
      )
    );
  }

  /**
   * Copies layers into one tree. On a thread of its own, which takes turns between copies: a container is
   * not kept waiting by images that come slowly.
   */
  merge(request: MergeRequest, signal: AbortSignal): Promise<void> {
    return this.#inUse(() => this.#copier.call("merge", request, { signal }));
  }

  disk<Name extends keyof DiskOperations & string>(
    name: Name,
    request: RequestOf<DiskOperations, Name>,
  ): Promise<ReplyOf<DiskOperations, Name>> {
    return this.#disk.call(name, request);
  }

  /** Ends all threads; what they were doing is answered `UnavailableError`, and later calls start new ones. */
  terminate(): void {
    this.#unpackers.terminate();
    this.#copier.terminate();
    this.#disk.terminate();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#idle);
    this.#unpackers[Symbol.dispose]();
    this.#copier[Symbol.dispose]();
    this.#disk[Symbol.dispose]();
  }

  /** As soon as there is a place, in the order of the calls. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    await this.#acquire();
    try {
      return await work();
    } finally {
      this.#release();
    }
  }

  async #inUse<T>(work: () => Promise<T>): Promise<T> {
    clearTimeout(this.#idle);
    this.#busy++;
    try {
      return await work();
    } finally {
      if (--this.#busy === 0) this.#endWhenIdle();
    }
  }

  #endWhenIdle(): void {
    this.#idle = setTimeout(() => {
      this.#unpackers.terminate();
      this.#copier.terminate();
    }, IDLE_MS);
    Deno.unrefTimer(Number(this.#idle));
  }

  #acquire(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve();
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    return promise;
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
