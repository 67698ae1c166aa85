/**
 * What happens around every handler: bounded decoding, the caller's deadline as a signal, one log line,
 * and errors as gRPC statuses.
 *
 * @module
 */
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  status,
} from "@grpc/grpc-js";
import { CancelledError, DeadlineExceededError, errorMessage } from "../errors/mod.ts";
import { type Clock, LONGEST_TIMER_MS } from "../model/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { Admission } from "./admission.ts";
import { type Decoder, decodeRequest } from "./decode_request.ts";
import { type Encoder, encodeResponse } from "./encode_response.ts";
import { grpcStatus } from "./grpc_status.ts";
import { STREAM_PATIENCE_MS } from "./limits.ts";
import type { CallContext, StreamHandler, UnaryHandler } from "./methods.ts";
import type { StreamPacing } from "./stream_pacing.ts";

export interface InstrumentOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** Counts calls until their handlers have ended. */
  readonly admission: Admission;
  /** Tells when the reader of a stream has room for the next message. */
  readonly pacing: StreamPacing;
  /** Largest answer. */
  readonly sendLimitBytes: number;
}

export interface InstrumentedMethod<Request, Response> {
  readonly name: string;
  readonly requestType: Decoder<Request>;
  readonly responseType: Encoder<Response>;
}

/** The part of a server call that unary and streaming calls share. */
interface ServerCall {
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  on(event: "cancelled", listener: () => void): unknown;
}

/** Called by every kubelet each second or so, or with each probe; a line for each would bury all others. */
const POLLED =
  /^(?:Version|Status|List|Stream|ImageFsInfo|ImageStatus|ContainerSta|PodSandboxS|ExecSync)/;

/** Answers until its client has enough, so that its going is no failure. */
const EVENTS = "GetContainerEvents";

/** A flag and a length go before each message of gRPC. */
const MESSAGE_PREFIX_BYTES = 5;

/** Wraps the handlers of one server. */
export class Instrument {
  readonly #options: InstrumentOptions;
  /** Methods that were called although they are not built, and said so. */
  readonly #toldUnbuilt = new Set<string>();

  constructor(options: InstrumentOptions) {
    this.#options = options;
  }

  unary<Request, Response>(
    method: InstrumentedMethod<Request, Response>,
    handler: UnaryHandler<Request, Response>,
  ): handleUnaryCall<Uint8Array, Uint8Array> {
    return async (call, answer) => {
      const failure = await this.#run(method, call, call.request, async (request, context) => {
        const response = await handler(request, context);
        answer(null, encodeResponse(method.responseType, response, this.#options.sendLimitBytes));
      });
      if (failure !== undefined) answer(failure);
    };
  }

  streaming<Request, Response>(
    method: InstrumentedMethod<Request, Response>,
    handler: StreamHandler<Request, Response>,
  ): handleServerStreamingCall<Uint8Array, Uint8Array> {
    const { pacing, sendLimitBytes } = this.#options;
    // Events wait for their reader however long it takes.
    const patienceMs = method.name === EVENTS ? undefined : STREAM_PATIENCE_MS;
    return async (call) => {
      const failure = await this.#run(method, call, call.request, async (request, context) => {
        const messages = handler(request, context);
        // Tells the client that it is being served: of a stream of events, that nothing is missed any more.
        call.sendMetadata(new Metadata());
        const progress = pacing.progressOf(call.metadata);
        let written = 0;
        for await (const message of messages) {
          context.signal.throwIfAborted();
          const bytes = encodeResponse(method.responseType, message, sendLimitBytes);
          call.write(bytes);
          written += MESSAGE_PREFIX_BYTES + bytes.length;
          // A slow reader must not make this process hold more than one message.
          await progress.reach(written, context.signal, patienceMs);
        }
        call.end();
      });
      if (failure !== undefined) call.emit("error", failure);
    };
  }

  /** The status to fail the call with, undefined after success. Never rejects. */
  async #run<Request>(
    method: InstrumentedMethod<Request, unknown>,
    call: ServerCall,
    bytes: Uint8Array,
    work: (request: Request, context: CallContext) => Promise<void>,
  ): Promise<{ code: status; details: string } | undefined> {
    const { admission, clock, log } = this.#options;
    using _permit = admission.claim(call.metadata);
    const started = clock.monotonicMs();
    using caller = callerOf(call);
    const callLog = log.with({ method: method.name });
    try {
      const request = decodeRequest(method.requestType, bytes);
      await work(request, { signal: caller.signal, log: callLog });
      const durationMs = clock.monotonicMs() - started;
      const fields = { durationMs: Math.round(durationMs * 10) / 10 };
      if (POLLED.test(method.name)) callLog.debug("Call answered", fields);
      else callLog.info("Call answered", fields);
      return undefined;
    } catch (error) {
      const durationMs = clock.monotonicMs() - started;
      const { code, details, foreseen } = grpcStatus(error);
      const fields = { code, error, durationMs: Math.round(durationMs * 10) / 10 };
      if (method.name === EVENTS && code === status.CANCELLED) {
        callLog.info("The reader of events has gone", fields);
      } else if (foreseen && this.#isRepeated(method.name, code)) {
        callLog.debug("Call failed", fields);
      } else if (foreseen) callLog.warn("Call failed", fields);
      else {callLog.error("Call failed for an unforeseen reason", {
          ...fields,
          stack: stackOf(error),
        });}
      return { code, details };
    }
  }

  /** A kubelet goes on asking for what is not built, statistics every ten seconds: once is enough. */
  #isRepeated(method: string, code: status): boolean {
    if (code !== status.UNIMPLEMENTED || !POLLED.test(method)) return false;
    const told = this.#toldUnbuilt.has(method);
    this.#toldUnbuilt.add(method);
    return told;
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : errorMessage(error);
}

/** A signal that fires with the caller's deadline or its going away. */
function callerOf(call: ServerCall): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  call.on("cancelled", () => controller.abort(new CancelledError("The client has gone")));
  const deadline = Number(call.getDeadline());
  // A deadline is a wall clock time at the client's side of the library: only its distance counts.
  const timer = Number.isFinite(deadline)
    ? setTimeout(
      () => controller.abort(new DeadlineExceededError("The client's deadline has passed")),
      Math.min(Math.max(0, deadline - Date.now()), LONGEST_TIMER_MS),
    )
    : undefined;
  return { signal: controller.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}
