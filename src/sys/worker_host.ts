/**
 * The worker's end of a {@link WorkerChannel}: a worker file calls {@link serveWorker} once.
 *
 * @module
 */
import { parentPort, workerData as nodeWorkerData } from "node:worker_threads";
import { InternalError } from "../errors/mod.ts";
import { type FromWorker, toWire, type ToWorker } from "./_worker_wire.ts";
import type { EventOf, ReplyOf, RequestOf, WorkerOperations } from "./worker_channel.ts";

/** What a handler knows of the call it answers. */
export interface CallContext<Event> {
  /** Fires when the caller cancelled; the handler ends as soon as it can. */
  readonly signal: AbortSignal;
  /** Sends an event to the caller, such as progress; keep them rare. */
  emit(event: Event): void;
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
    context: CallContext<EventOf<Ops, Name>>,
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
  /** Nothing runs on a thread that cannot be trusted: later calls stay unanswered until it is ended. */
  let retired = false;
  const post = (message: FromWorker, transfer: Transferable[] = []): void => {
    // deno-lint-ignore no-explicit-any -- node's and the platform's Transferable differ in name only
    port.postMessage(message, transfer as any);
  };

  const answer = async (id: number, name: string, request: unknown): Promise<void> => {
    const controller = new AbortController();
    cancels.set(id, controller);
    const transfer: Transferable[] = [];
    const context: CallContext<unknown> = {
      signal: controller.signal,
      emit: (event) => post({ kind: "event", id, event }),
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
    if (message.kind === "cancel") cancels.get(message.id)?.abort();
    else if (!retired) void answer(message.id, message.name, message.request);
  });
  post({ kind: "ready" });
}
