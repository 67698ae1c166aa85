/**
 * The CRI server: gRPC and HTTP/1.1 on one unix socket.
 *
 * @module
 */
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import type { Socket } from "node:net";
import type { Clock } from "../model/mod.ts";
import { ImageServiceDefinition, RuntimeServiceDefinition } from "../proto/mod.ts";
import { adoptStream, type Kernel, Listener } from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { Admission, type AdmissionLimits } from "./admission.ts";
import { createHttpServer, type HttpRoutes } from "./http.ts";
import { Instrument } from "./instrument.ts";
import { LIMITS, RECEIVE_LIMIT_BYTES, SEND_LIMIT_BYTES } from "./limits.ts";
import { holdLongDeadlines } from "./long_deadlines.ts";
import type { ImageMethods, RuntimeMethods } from "./methods.ts";
import { switchProtocol } from "./protocol_switch.ts";
import { register } from "./registration.ts";
import { StreamPacing } from "./stream_pacing.ts";
import { listenAt, type ListeningPath, socketPath } from "./unix_socket.ts";

export interface CriServerOptions {
  /** Absolute path of the socket, or `unix:///path`. */
  readonly listen: string;
  readonly runtime: RuntimeMethods;
  readonly image: ImageMethods;
  readonly http: HttpRoutes;
  readonly kernel: Kernel;
  readonly log: Logger;
  readonly clock: Clock;
  /** Largest request; 16 MiB, or less if configured so: see {@link RECEIVE_LIMIT_BYTES}. */
  readonly receiveLimitBytes?: number;
  /** Largest answer; 80 MiB unless configured otherwise. */
  readonly sendLimitBytes?: number;
  /** Calls under way; see `limits.ts`. */
  readonly callLimits?: AdmissionLimits;
}

/**
 * More than the calls that one connection may have under way, so that the next is answered by the
 * name of that limit and Version and Status find room; beyond it clients wait by themselves.
 */
const STREAMS_PER_CONNECTION = LIMITS.callsPerConnection.max + 500;
const DEFAULT_GRACE_MS = 4_000;
/** For what has been written to reach a client that reads. */
const FLUSH_MS = 1_000;

interface Connection {
  /** What it turned out to be. */
  protocol: "unknown" | "grpc" | "http";
  readonly closed: Promise<void>;
}

/** A server that is listening. Disposing stops it without grace. */
export class CriServer implements AsyncDisposable {
  readonly path: string;
  readonly #grpc: GrpcServer;
  readonly #listener: Listener;
  readonly #listening: ListeningPath;
  readonly #sockets: ReadonlyMap<Socket, Connection>;
  readonly #log: Logger;
  #stopped: Promise<void> | undefined;

  private constructor(parts: {
    grpc: GrpcServer;
    listener: Listener;
    listening: ListeningPath;
    sockets: ReadonlyMap<Socket, Connection>;
    log: Logger;
  }) {
    this.path = parts.listening.path;
    this.#grpc = parts.grpc;
    this.#listener = parts.listener;
    this.#listening = parts.listening;
    this.#sockets = parts.sockets;
    this.#log = parts.log;
  }

  /**
   * Listens and serves.
   *
   * @throws {InvalidArgumentError} {@link CriServerOptions.listen} cannot be a socket's path
   * @throws {FailedPreconditionError} another server answers there
   * @throws {UnavailableError} the socket could not be made
   */
  static async listen(options: CriServerOptions): Promise<CriServer> {
    const pacing = new StreamPacing();
    const grpc = grpcServer(options, pacing);
    const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
    holdLongDeadlines(grpc);
    const http = createHttpServer(options.http, options.log);
    const sockets = new Map<Socket, Connection>();
    let connections = 0;
    const serve = (socket: Socket) => {
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      const known: Connection = { protocol: "unknown", closed };
      sockets.set(socket, known);
      // A unix socket has no port. Connections are told apart by a number in its place.
      const number = ++connections;
      Object.defineProperty(socket, "remotePort", { value: number });
      socket.once("close", () => sockets.delete(socket));
      switchProtocol(socket, {
        grpc: (connection) => {
          known.protocol = "grpc";
          pacing.watch(number, connection);
          injector.injectConnection(connection);
        },
        http: (connection) => {
          known.protocol = "http";
          http.emit("connection", connection);
        },
      });
    };
    const { kernel, log } = options;
    const listening = await listenAt(kernel, socketPath(options.listen));
    const listener = new Listener({
      kernel,
      socket: listening.socket,
      onConnection: (connection) => serve(adoptStream(connection)),
      onTrouble: (error) => log.warn("Clients of the socket have to wait", { error }),
    });
    log.info("Serving the Container Runtime Interface", { path: listening.path });
    return new CriServer({ grpc, listener, listening, sockets, log });
  }

  /**
   * Accepts nothing new, lets calls under way finish for `graceMs`, then cuts them. Resolves when
   * every connection is closed. Containers are none of its business and go on.
   */
  stop(graceMs: number = DEFAULT_GRACE_MS): Promise<void> {
    this.#stopped ??= this.#stop(graceMs);
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop(0);
  }

  async #stop(graceMs: number): Promise<void> {
    this.#listener[Symbol.dispose]();
    await this.#listening[Symbol.asyncDispose]();
    if (await within(graceMs, this.#drained())) {
      for (const socket of this.#sockets.keys()) socket.destroySoon();
      if (await within(FLUSH_MS, this.#closed())) return;
    } else {
      this.#log.warn("Cutting calls that did not finish", { graceMs });
      this.#grpc.forceShutdown();
    }
    const closed = this.#closed();
    for (const socket of this.#sockets.keys()) socket.destroy();
    await closed;
  }

  async #closed(): Promise<void> {
    await Promise.all([...this.#sockets.values()].map(({ closed }) => closed));
  }

  /** Sends GOAWAY to every client and waits for its calls, and until their answers are on their way. */
  async #drained(): Promise<void> {
    await new Promise<void>((resolve) => this.#grpc.tryShutdown(() => resolve()));
    // For the library a call is over when its answer is in a queue. It ends the socket behind that.
    await Promise.all(
      [...this.#sockets].flatMap(([socket, { protocol }]) =>
        protocol === "grpc" ? [flushed(socket)] : []
      ),
    );
  }
}

/** Resolves when everything that was written is with the kernel and nothing more will be. */
function flushed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.writableFinished || socket.destroyed) return resolve();
    socket.once("finish", () => resolve());
    socket.once("close", () => resolve());
  });
}

function grpcServer(options: CriServerOptions, pacing: StreamPacing): GrpcServer {
  const { log, clock } = options;
  const admission = new Admission(options.callLimits);
  const server = new GrpcServer({
    interceptors: [pacing.interceptor(), admission.interceptor()],
    "grpc.max_receive_message_length": Math.min(
      options.receiveLimitBytes ?? RECEIVE_LIMIT_BYTES,
      RECEIVE_LIMIT_BYTES,
    ),
    // Answers are measured before they reach the library, to be refused in our words.
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION,
    // A registry of every connection that nothing here reads.
    "grpc.enable_channelz": 0,
  });
  const instrument = new Instrument({
    log,
    clock,
    admission,
    pacing,
    sendLimitBytes: options.sendLimitBytes ?? SEND_LIMIT_BYTES,
  });
  register(server, RuntimeServiceDefinition, options.runtime, instrument);
  register(server, ImageServiceDefinition, options.image, instrument);
  return server;
}

/** True if `done` came first. */
async function within(timeoutMs: number, done: Promise<void>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  try {
    return await Promise.race([done.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
