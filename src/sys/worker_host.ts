/**
 * The worker's end of a {@link WorkerChannel}: a worker file calls {@link serveWorker} once.
 *
 * @module
 */
import { parentPort, workerData as nodeWorkerData } from "node:worker_threads";
import { CancelledError, InternalError } from "../errors/mod.ts";
import { fromWire, type FromWorker, toWire, type ToWorker } from "./_worker_wire.ts";
import type {
  AnswerOf,
  EventOf,
  QuestionOf,
  ReplyOf,
  RequestOf,
  WorkerOperations,
} from "./worker_channel.ts";

/** What a handler knows of the call it answers. */
export interface CallContext<Event, Question = unknown, Answer = unknown> {
  /** Fires when the caller cancelled; the handler ends as soon as it can. */
  readonly signal: AbortSignal;
  /** Sends an event to the caller, such as progress; keep them rare. */
  emit(event: Event): void;
  /**
   * Asks the caller something and waits for the answer.
   *
   * @throws what the caller threw; once `signal` fires, CancelledError
   */
  ask(question: Question): Promise<Answer>;
  /** Moves these to the caller with the reply instead of copying them. */
  transfer(...objects: Transferable[]): void;
  /**
   * Says that this thread can no longer be trusted (it is in a wrong namespace): once this call is
   * answered, the worker is ended, and the next call starts a new one.
   */
  retire(): void;
}

export type WorkerHandlers<Ops extends WorkerOperations> = {
  readonly [Name in keyof Ops]: (
    request: RequestOf<Ops, Name>,
    context: CallContext<EventOf<Ops, Name>, QuestionOf<Ops, Name>, AnswerOf<Ops, Name>>,
  ) => ReplyOf<Ops, Name> | Promise<ReplyOf<Ops, Name>>;
};

/** The value that the channel's options gave as `data`. */
export function workerData<Data>(): Data {
  return nodeWorkerData as Data;
}

/** Answers calls until the worker is ended. Throws if this is not a worker. */
export function serveWorker<Ops extends WorkerOperations>(handlers: WorkerHandlers<Ops>): void {
  const port = parentPort;
  if (port === null) throw new InternalError("serveWorker was called outside a worker");
  const cancels = new Map<number, AbortController>();
  const asked = new Map<number, PromiseWithResolvers<unknown>>();
  let lastAsk = 0;
  /** Nothing runs on a thread that cannot be trusted: later calls stay unanswered until it is ended. */
  let retired = false;
  const post = (message: FromWorker, transfer: Transferable[] = []): void => {
    // deno-lint-ignore no-explicit-any -- node's and the platform's Transferable differ in name only
    port.postMessage(message, transfer as any);
  };

  const ask = async (id: number, signal: AbortSignal, question: unknown): Promise<unknown> => {
    const number = ++lastAsk;
    const waiting = Promise.withResolvers<unknown>();
    const cancelled = () =>
      waiting.reject(new CancelledError("The call was cancelled while it asked its caller"));
    asked.set(number, waiting);
    signal.addEventListener("abort", cancelled, { once: true });
    try {
      if (signal.aborted) cancelled();
      else post({ kind: "ask", id, ask: number, question });
      return await waiting.promise;
    } finally {
      asked.delete(number);
      signal.removeEventListener("abort", cancelled);
    }
  };

  const answer = async (id: number, name: string, request: unknown): Promise<void> => {
    const controller = new AbortController();
    cancels.set(id, controller);
    const transfer: Transferable[] = [];
    const context: CallContext<unknown, unknown, unknown> = {
      signal: controller.signal,
      emit: (event) => post({ kind: "event", id, event }),
      ask: (question) => ask(id, controller.signal, question),
      transfer: (...objects) => void transfer.push(...objects),
      retire: () => void (retired = true),
    };
    try {
      const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
      if (handler === undefined) throw new InternalError(`The worker has no operation ${name}`);
      const reply = await handler(request as never, context as never);
      post({ kind: "reply", id, reply, retire: retired }, transfer);
    } catch (error) {
      post({ kind: "error", id, error: toWire(error), retire: retired });
    } finally {
      cancels.delete(id);
    }
  };

  port.on("message", (message: ToWorker) => {
    switch (message.kind) {
      case "cancel":
        cancels.get(message.id)?.abort();
        break;
      case "answer":
        asked.get(message.ask)?.resolve(message.answer);
        break;
      case "refusal":
        asked.get(message.ask)?.reject(fromWire(message.error));
        break;
      case "call":
        if (!retired) void answer(message.id, message.name, message.request);
    }
  });
  post({ kind: "ready" });
}
