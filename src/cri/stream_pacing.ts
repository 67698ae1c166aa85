/**
 * Brings together a call that answers with a stream and the progress of that stream on its
 * connection, so that the next message is made when the reader has room for it.
 *
 * @module
 */
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServerListener,
} from "@grpc/grpc-js";
import type { Socket } from "node:net";
import { CancelledError } from "../errors/mod.ts";
import { OutgoingFrames, type StreamProgress } from "./outgoing_frames.ts";

export class StreamPacing {
  readonly #connections = new Map<number, OutgoingFrames>();
  /** By what both sides of the library know a call. */
  readonly #streams = new WeakMap<Metadata, StreamProgress>();

  /** Before the library is given the connection. `number` is what it is told apart by. */
  watch(number: number, socket: Socket): void {
    this.#connections.set(number, new OutgoingFrames(socket));
    socket.once("close", () => this.#connections.delete(number));
  }

  /**
   * Of a call that is answered with a stream.
   *
   * @throws {CancelledError} its connection was gone before it came here
   */
  progressOf(metadata: Metadata): StreamProgress {
    const progress = this.#streams.get(metadata);
    if (progress === undefined) throw new CancelledError("The client has gone");
    return progress;
  }

  /** The first of a server's: it needs the call of the library, not that of another interceptor. */
  interceptor(): ServerInterceptor {
    return ({ responseStream }, call) => {
      if (!responseStream) return new ServerInterceptingCall(call);
      let followed: ReturnType<OutgoingFrames["follow"]> | undefined;
      const listener: ServerListener = {
        onReceiveMetadata: (metadata, proceed) => {
          const connection = this.#connections.get(call.getConnectionInfo().remotePort ?? 0);
          followed = connection?.follow(streamIdOf(call));
          if (followed !== undefined) this.#streams.set(metadata, followed.progress);
          proceed(metadata);
        },
        // Told at the end of every stream, whatever its end was.
        onCancel: () => followed?.[Symbol.dispose](),
      };
      return new ServerInterceptingCall(call, { start: (next) => next(listener) });
    };
  }
}

/** The library (pinned) keeps a call's stream to itself; a test notices if it is no longer there. */
function streamIdOf(call: ServerInterceptingCallInterface): number {
  const { stream } = call as { readonly stream?: { readonly id?: number } };
  if (stream?.id === undefined) throw new TypeError("The library tells no stream of a call");
  return stream.id;
}
