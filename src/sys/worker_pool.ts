/**
 * Several equal workers behind one call: the least loaded one answers.
 *
 * @module
 */
import {
  type AnswerOf,
  type CallOptions,
  type EventOf,
  type QuestionOf,
  type ReplyOf,
  type RequestOf,
  WorkerChannel,
  type WorkerOperations,
  type WorkerOptions,
} from "./worker_channel.ts";

export interface WorkerPoolOptions extends WorkerOptions {
  /** Workers at most; each starts at the first call that finds all others busy. */
  readonly size: number;
}

export class WorkerPool<Ops extends WorkerOperations> implements Disposable {
  readonly #channels: readonly WorkerChannel<Ops>[];

  constructor(options: WorkerPoolOptions) {
    this.#channels = Array.from(
      { length: options.size },
      (_, index) => new WorkerChannel<Ops>({ ...options, name: `${options.name} ${index + 1}` }),
    );
  }

  /** Calls that are not answered yet. */
  get load(): number {
    return this.#channels.reduce((sum, channel) => sum + channel.load, 0);
  }

  /** Starts the first `count` workers (all by default); resolves when they can answer. */
  async start(count: number = this.#channels.length): Promise<void> {
    await Promise.all(this.#channels.slice(0, count).map((channel) => channel.start()));
  }

  /** As {@link WorkerChannel.call}, on the least loaded worker. */
  call<Name extends keyof Ops & string>(
    name: Name,
    request: RequestOf<Ops, Name>,
    options: CallOptions<EventOf<Ops, Name>, QuestionOf<Ops, Name>, AnswerOf<Ops, Name>> = {},
  ): Promise<ReplyOf<Ops, Name>> {
    const channel = this.#channels.reduce((least, other) =>
      other.load < least.load ? other : least
    );
    return channel.call(name, request, options);
  }

  /** Ends all workers; their calls are answered `UnavailableError`. The next calls start new ones. */
  terminate(): void {
    for (const channel of this.#channels) channel.terminate();
  }

  [Symbol.dispose](): void {
    for (const channel of this.#channels) channel[Symbol.dispose]();
  }
}
