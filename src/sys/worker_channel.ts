/**
 * Typed requests and replies over one worker thread that may die at any time.
 *
 * ```
 *   idle --call or start--> starting --ready--> running --exit, error, terminate--> idle
 * ```
 * A dead worker's calls are answered `UnavailableError`; the next call starts a new one. An idle
 * worker does not keep the process alive.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import {
  CancelledError,
  InternalError,
  ResourceExhaustedError,
  UnavailableError,
} from "../errors/mod.ts";
import { fromWire, type FromWorker, toWire, type ToWorker } from "./_worker_wire.ts";

/**
 * The operations of a worker: name to the shapes of request, reply and, if any, events, and of the
 * questions that the worker asks meanwhile with their answers.
 */
export type WorkerOperations = {
  // deno-lint-ignore no-explicit-any -- the bound of a type parameter; concrete maps are exact
  [name: string]: { request: any; reply: any; event?: any; question?: any; answer?: any };
};
export type RequestOf<Ops extends WorkerOperations, Name extends keyof Ops> = Ops[Name]["request"];
export type ReplyOf<Ops extends WorkerOperations, Name extends keyof Ops> = Ops[Name]["reply"];
export type EventOf<Ops extends WorkerOperations, Name extends keyof Ops> = Ops[Name]["event"];
export type QuestionOf<Ops extends WorkerOperations, Name extends keyof Ops> =
  Ops[Name]["question"];
export type AnswerOf<Ops extends WorkerOperations, Name extends keyof Ops> = Ops[Name]["answer"];

export interface WorkerOptions {
  /** From `workerUrl(import.meta.url, "./x_worker.ts")`. */
  readonly url: URL;
  /** In errors, and as the thread's name. */
  readonly name: string;
  /** Cloned into the worker, which reads it with `workerData()`. */
  readonly data?: unknown;
  /** Calls posted to the worker and not yet answered; others wait here. Default 16. */
  readonly maxInFlight?: number;
  /** Calls that may wait; more are refused. Default 4096. */
  readonly maxWaiting?: number;
  /**
   * V8 heap of the worker; typed arrays are not part of it. A worker at its limit stalls instead of
   * ending, so give room: this keeps the collector eager, it is not a guard.
   */
  readonly maxOldGenerationSizeMb?: number;
  readonly maxYoungGenerationSizeMb?: number;
}

export interface CallOptions<Event, Question = unknown, Answer = unknown> {
  /** Moved to the worker instead of copied. */
  readonly transfer?: Transferable[];
  /** Tells the handler to end; the call settles when it has, or at once while it still waits here. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: Event) => void;
  /** Answers what the worker asks while it works; what it throws, the worker's question throws. */
  readonly onAsk?: (question: Question) => Answer | Promise<Answer>;
}

interface Call {
  readonly id: number;
  readonly name: string;
  readonly request: unknown;
  readonly transfer: Transferable[];
  readonly onEvent: ((event: unknown) => void) | undefined;
  readonly onAsk: ((question: unknown) => unknown) | undefined;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
  posted: boolean;
}

interface Running {
  readonly worker: Worker;
  readonly ready: PromiseWithResolvers<void>;
}

export class WorkerChannel<Ops extends WorkerOperations> implements Disposable {
  readonly #options: WorkerOptions;
  readonly #maxInFlight: number;
  readonly #maxWaiting: number;
  readonly #posted = new Map<number, Call>();
  #waiting: Call[] = [];
  #running: Running | undefined;
  #lastId = 0;
  #disposed = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#maxInFlight = options.maxInFlight ?? 16;
    this.#maxWaiting = options.maxWaiting ?? 4096;
  }

  /** Calls posted and waiting. */
  get load(): number {
    return this.#posted.size + this.#waiting.length;
  }

  /** Starts the worker if it does not run; resolves when it can answer. */
  start(): Promise<void> {
    if (this.#disposed) return Promise.reject(this.#unavailable("was closed"));
    return (this.#running ??= this.#spawn()).ready.promise;
  }

  /**
   * @throws {UnavailableError} the worker died or was ended; the call may or may not have acted
   * @throws {ResourceExhaustedError} too many calls wait
   * @throws {CancelledError} `signal` fired before the call reached the worker
   * @throws whatever the handler threw, with class and details
   */
  call<Name extends keyof Ops & string>(
    name: Name,
    request: RequestOf<Ops, Name>,
    options: CallOptions<EventOf<Ops, Name>, QuestionOf<Ops, Name>, AnswerOf<Ops, Name>> = {},
  ): Promise<ReplyOf<Ops, Name>> {
    const { promise, resolve, reject } = Promise.withResolvers<ReplyOf<Ops, Name>>();
    if (this.#disposed) {
      reject(this.#unavailable("was closed"));
      return promise;
    }
    if (options.signal?.aborted === true) {
      reject(new CancelledError(`${this.#options.name} ${name} was cancelled before it began`));
      return promise;
    }
    if (this.#waiting.length >= this.#maxWaiting) {
      reject(
        new ResourceExhaustedError(
          `${this.#options.name} already has ${this.#waiting.length} calls waiting`,
          { remedy: "repeat the call later" },
        ),
      );
      return promise;
    }
    const call: Call = {
      id: ++this.#lastId,
      name,
      request,
      transfer: options.transfer ?? [],
      onEvent: options.onEvent,
      onAsk: options.onAsk as Call["onAsk"],
      resolve,
      reject,
      posted: false,
    };
    const { signal } = options;
    if (signal !== undefined) {
      const onAbort = () => this.#cancel(call);
      signal.addEventListener("abort", onAbort, { once: true });
      promise.finally(() => signal.removeEventListener("abort", onAbort)).catch(() => {});
    }
    this.#waiting.push(call);
    this.#pump();
    return promise;
  }

  /** Ends the worker now; its calls are answered `UnavailableError`. The next call starts a new one. */
  terminate(): void {
    const running = this.#running;
    if (running !== undefined) this.#lost(running, "was terminated");
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.terminate();
  }

  #cancel(call: Call): void {
    if (call.posted) {
      const message: ToWorker = { kind: "cancel", id: call.id };
      this.#running?.worker.postMessage(message);
      return;
    }
    this.#waiting = this.#waiting.filter((waiting) => waiting !== call);
    call.reject(new CancelledError(`${this.#options.name} ${call.name} was cancelled`));
  }

  #pump(): void {
    while (this.#posted.size < this.#maxInFlight) {
      const call = this.#waiting.shift();
      if (call === undefined) break;
      this.#running ??= this.#spawn();
      const message: ToWorker = {
        kind: "call",
        id: call.id,
        name: call.name,
        request: call.request,
      };
      try {
        // deno-lint-ignore no-explicit-any -- node's and the platform's Transferable differ in name only
        this.#running.worker.postMessage(message, call.transfer as any);
      } catch (error) {
        call.reject(error instanceof Error ? error : new Error(String(error)));
        continue;
      }
      call.posted = true;
      this.#posted.set(call.id, call);
    }
    if (this.#posted.size > 0) this.#running?.worker.ref();
  }

  #spawn(): Running {
    const { url, name, data, maxOldGenerationSizeMb, maxYoungGenerationSizeMb } = this.#options;
    const worker = new Worker(url, {
      name,
      workerData: data,
      resourceLimits: {
        ...(maxOldGenerationSizeMb === undefined ? {} : { maxOldGenerationSizeMb }),
        ...(maxYoungGenerationSizeMb === undefined ? {} : { maxYoungGenerationSizeMb }),
      },
    });
    const running: Running = { worker, ready: Promise.withResolvers<void>() };
    // Whoever called start() sees the failure; a lazy start has its calls to tell.
    running.ready.promise.catch(() => {});
    worker.on("message", (message: FromWorker) => this.#received(running, message));
    worker.on("error", (error: Error) => this.#lost(running, `died: ${error.message}`));
    worker.on("exit", (code: number) => this.#lost(running, `ended with code ${code}`));
    worker.on("messageerror", () => this.#lost(running, "sent a message that cannot be read"));
    return running;
  }

  #received(from: Running, message: FromWorker): void {
    if (from !== this.#running) return;
    if (message.kind === "ready") {
      from.ready.resolve();
      if (this.#posted.size === 0) from.worker.unref();
      return;
    }
    const call = this.#posted.get(message.id);
    if (call === undefined) return;
    if (message.kind === "event") {
      call.onEvent?.(message.event);
      return;
    }
    if (message.kind === "ask") {
      void this.#answer(from, call, message.ask, message.question);
      return;
    }
    this.#posted.delete(message.id);
    if (message.kind === "reply") call.resolve(message.reply);
    else call.reject(fromWire(message.error));
    if (message.retire) this.#retire(from);
    if (this.#posted.size === 0) from.worker.unref();
    this.#pump();
  }

  async #answer(from: Running, call: Call, ask: number, question: unknown): Promise<void> {
    let message: ToWorker;
    try {
      if (call.onAsk === undefined) {
        throw new InternalError(`Nobody answers what ${call.name} of ${this.#options.name} asks`);
      }
      message = { kind: "answer", ask, answer: await call.onAsk(question) };
    } catch (error) {
      message = { kind: "refusal", ask, error: toWire(error) };
    }
    if (from === this.#running) from.worker.postMessage(message);
  }

  /** Calls that wait here have not reached the untrusted thread and go to its successor. */
  #retire(running: Running): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#lost(running, "left its namespace and was discarded");
    this.#waiting = waiting;
  }

  #lost(running: Running, why: string): void {
    if (running !== this.#running) return;
    this.#running = undefined;
    const calls = [...this.#posted.values(), ...this.#waiting];
    this.#posted.clear();
    this.#waiting = [];
    const error = this.#unavailable(why);
    running.ready.reject(error);
    for (const call of calls) call.reject(error);
    void running.worker.terminate();
  }

  #unavailable(why: string): UnavailableError {
    return new UnavailableError(`${this.#options.name} ${why}`, { remedy: "repeat the call" });
  }
}
