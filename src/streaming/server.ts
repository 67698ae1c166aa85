/**
 * The streaming server: gives out URLs that are good for one use, and serves the sessions behind
 * them on a listener of its own.
 *
 * @module
 */
import { isIP } from "node:net";
import { errorMessage, isErrno, UnavailableError } from "../errors/mod.ts";
import type { Clock, ContainerId, SandboxId } from "../model/mod.ts";
import type { ExecSession, StreamService } from "../pod/mod.ts";
import {
  adoptTcp,
  type ByteDescriptors,
  type Fd,
  type FileWatcher,
  type Kernel,
  Listener,
  listenTcp,
} from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { Connection, type Transport } from "./connection.ts";
import { readHead, refusalBytes, refused, RefusedRequest, type RequestHead } from "./http_head.ts";
import { IdleTimer } from "./idle_timer.ts";
import {
  ATTACH_LIMIT,
  CLOSE_TIMEOUT_MS,
  CONNECTIONS_LIMIT,
  CONNECTIONS_TOLD_LIMIT,
  HEAD_TIMEOUT_MS,
  KEEP_ALIVE,
  PORT_FORWARD_SESSIONS_LIMIT,
} from "./limits.ts";
import { argumentBytes, PendingUrls } from "./pending_urls.ts";
import type { PortForward } from "./port_forward.ts";
import { servePortForwardBySpdy } from "./port_forward_spdy.ts";
import { servePortForwardByWebSocket } from "./port_forward_websocket.ts";
import type { RemoteCommand, WantedStreams } from "./remote_command.ts";
import { serveRemoteCommandBySpdy } from "./remote_command_spdy.ts";
import { serveRemoteCommandByWebSocket } from "./remote_command_websocket.ts";
import type { Session } from "./session.ts";
import { readTlsFiles, type TlsContext, type TlsOptions, watchTlsFiles } from "./tls_files.ts";
import { TlsHandshakes } from "./tls_handshakes.ts";
import { TlsTransport } from "./tls_transport.ts";
import { UnauthenticatedClients } from "./unauthenticated_clients.ts";
import { asksForWebSocket } from "./websocket/handshake.ts";

export interface StreamingServerOptions {
  /** An IP address; `0.0.0.0` takes clients at every address of IPv4, `::` at every address. */
  readonly address: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls: TlsOptions | undefined;
  /** Without a byte for so long a session ends; 0 for never. */
  readonly idleTimeoutMs: number;
  /** For the TLS handshake, and again for the request's head; {@link HEAD_TIMEOUT_MS} if left out. */
  readonly headTimeoutMs?: number;
  readonly service: StreamService;
  readonly fileWatcher: FileWatcher;
  readonly kernel: Kernel;
  readonly descriptors: ByteDescriptors;
  readonly clock: Clock;
  readonly log: Logger;
}

/** URLs for what was checked; each is good for one use and for half a minute. */
export interface StreamUrls {
  /**
   * @throws {ResourceExhaustedError} too many URLs wait for their use, or too much; also of the others
   * @throws {UnavailableError} the server stops; also of the others
   */
  exec(session: ExecSession, wanted: WantedStreams): string;
  attach(container: ContainerId, wanted: WantedStreams): string;
  portForward(sandbox: SandboxId, ports: readonly number[]): string;
}

type Wish = RemoteCommand | PortForward;

const FOLDERS: Readonly<Record<string, Wish["kind"]>> = {
  exec: "exec",
  attach: "attach",
  portforward: "port-forward",
};

/** Sessions that are counted here, as `docs/cri.md` calls them; a command is counted where its process is. */
const COUNTED = {
  attach: { what: "attached clients", limit: ATTACH_LIMIT },
  "port-forward": { what: "port-forward sessions", limit: PORT_FORWARD_SESSIONS_LIMIT },
} as const;
type Counted = keyof typeof COUNTED;

/** A server that is listening. Disposing cuts what is open. */
export class StreamingServer implements StreamUrls, AsyncDisposable {
  /** `http://127.0.0.1:34567` */
  readonly baseUrl: string;
  readonly #options: StreamingServerOptions;
  readonly #pending: PendingUrls<Wish>;
  readonly #connections = new Set<Connection>();
  readonly #unauthenticated = new UnauthenticatedClients();
  readonly #sessions = new Map<Promise<void>, AbortController>();
  readonly #handshakes: TlsHandshakes | undefined;
  /** Gives out URLs, takes clients, and notices new certificates. */
  readonly #listening: Disposable;
  readonly #counts: Record<Counted, number> = { attach: 0, "port-forward": 0 };

  private constructor(
    options: StreamingServerOptions,
    context: TlsContext | undefined,
    { socket, port }: { readonly socket: Fd; readonly port: number },
  ) {
    const { address, kernel, tls, fileWatcher: watcher, log } = options;
    this.#options = options;
    this.baseUrl = `${tls === undefined ? "http" : "https"}://${hostOf(address)}:${port}`;
    using listening = new DisposableStack();
    this.#pending = listening.use(new PendingUrls(options.clock));
    listening.use(socket);
    if (tls !== undefined && context !== undefined) {
      const handshakes = listening.use(
        new TlsHandshakes({
          tls,
          context,
          timeoutMs: options.headTimeoutMs ?? HEAD_TIMEOUT_MS,
          unauthenticated: this.#unauthenticated,
          log,
          onSecure: (secure) => this.#connected(new TlsTransport(secure)),
        }),
      );
      this.#handshakes = handshakes;
      const onChange = (next: TlsContext) => handshakes.use(next);
      listening.use(watchTlsFiles(tls, { watcher, log, onChange }));
    }
    listening.use(
      new Listener({
        kernel,
        socket,
        onConnection: (connection) => this.#accepted(connection),
        onTrouble: (error) => log.warn("Clients of streams have to wait", { error }),
      }),
    );
    this.#listening = listening.move();
  }

  /**
   * Listens and serves.
   *
   * @throws {InvalidArgumentError} {@link TlsOptions} that cannot be
   * @throws {FailedPreconditionError} the certificates are of no use
   * @throws {UnavailableError} the address or port cannot be had
   */
  static async listen(options: StreamingServerOptions): Promise<StreamingServer> {
    const { tls, log } = options;
    const context = tls === undefined ? undefined : await readTlsFiles(tls);
    const server = new StreamingServer(options, context, bind(options));
    log.info("Serving streams", { url: server.baseUrl });
    return server;
  }

  exec(session: ExecSession, wanted: WantedStreams): string {
    return this.#url("exec", { kind: "exec", session, wanted }, argumentBytes(session.args));
  }

  attach(container: ContainerId, wanted: WantedStreams): string {
    return this.#url("attach", { kind: "attach", container, wanted });
  }

  portForward(sandbox: SandboxId, ports: readonly number[]): string {
    return this.#url("portforward", { kind: "port-forward", sandbox, ports });
  }

  /** Accepts nothing new and tells every session to end; cuts those that have not after `graceMs`. */
  async stop(graceMs = CLOSE_TIMEOUT_MS): Promise<void> {
    this.#listening[Symbol.dispose]();
    const reason = new UnavailableError("The server stops");
    for (const cut of this.#sessions.values()) cut.abort(reason);
    const timer = setTimeout(() => this.#cutAll(), graceMs);
    await Promise.all(this.#sessions.keys());
    clearTimeout(timer);
    this.#cutAll();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop(0);
  }

  /** A new client, whose descriptor this owns from now on. */
  #accepted(fd: Fd): void {
    const handshakes = this.#handshakes;
    this.#makeRoom();
    if (this.#open >= CONNECTIONS_TOLD_LIMIT) fd.close();
    else if (handshakes !== undefined) handshakes.begin(adoptTcp(fd));
    else this.#connected(this.#options.descriptors.open(fd));
  }

  get #open(): number {
    return this.#connections.size + (this.#handshakes?.size ?? 0);
  }

  /** Those that say nothing must not lock others out: the oldest makes way. Sessions keep their places. */
  #makeRoom(): void {
    if (this.#open - this.#unauthenticated.size >= CONNECTIONS_LIMIT) return;
    while (this.#open >= CONNECTIONS_LIMIT && this.#unauthenticated.closeOldest()) {
      this.#options.log.debug("A client that had shown no URL made way for another");
    }
  }

  /** A client that may speak. */
  #connected(transport: Transport): void {
    const connection = new Connection(transport);
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    const cut = new AbortController();
    const session = this.#serve(connection, cut)
      .catch((error: unknown) => {
        // What is not foreseen must not take the server with it.
        this.#options.log.error("A streaming session failed", { error });
      })
      .finally(() => connection.destroy());
    this.#sessions.set(session, cut);
    void session.then(() => this.#sessions.delete(session));
  }

  async #serve(connection: Connection, cut: AbortController): Promise<void> {
    const { clock, idleTimeoutMs, log, service } = this.#options;
    using unauthenticated = this.#unauthenticated.enter(() => {
      this.#connections.delete(connection);
      connection.destroy();
    });
    try {
      if (this.#connections.size > CONNECTIONS_LIMIT) {
        throw full("streaming connections", CONNECTIONS_LIMIT);
      }
      const head = await this.#head(connection, cut.signal);
      if (head === undefined) return;
      const wish = this.#take(head);
      unauthenticated[Symbol.dispose]();
      this.#count(wish, connection);
      using idle = new IdleTimer({
        clock,
        timeoutMs: idleTimeoutMs,
        onIdle: () =>
          cut.abort(new UnavailableError(`Nothing came or went for ${idleTimeoutMs / 1000} s`)),
      });
      cut.signal.addEventListener("abort", () => cutLater(connection), { once: true });
      await serveWish(wish, {
        connection,
        head,
        service,
        cut: cut.signal,
        onActivity: () => idle.touch(),
        log,
      });
    } catch (error) {
      if (error instanceof RefusedRequest) await refuse(connection, error);
      // The client has gone, and whatever it was about with it.
      else if (!(error instanceof UnavailableError)) throw error;
    }
  }

  async #head(connection: Connection, cut: AbortSignal): Promise<RequestHead | undefined> {
    const timeoutMs = this.#options.headTimeoutMs ?? HEAD_TIMEOUT_MS;
    const late = () => {
      void connection.write(refusalBytes({
        status: 408,
        text: `The request has not come within ${timeoutMs / 1000} s`,
      })).catch(() => {}).then(() => connection.destroy());
    };
    const stop = () => connection.destroy();
    const timer = setTimeout(late, timeoutMs);
    cut.addEventListener("abort", stop, { once: true });
    try {
      return await readHead(connection);
    } finally {
      clearTimeout(timer);
      cut.removeEventListener("abort", stop);
    }
  }

  /**
   * What the URL stands for. A try uses it up, also one that fails after it, as in Kubernetes' server.
   *
   * @throws {RefusedRequest} unknown, used or expired
   */
  #take({ method, path }: RequestHead): Wish {
    if (method !== "GET" && method !== "POST") {
      throw refused(405, "A stream is opened by GET or POST", [["Allow", "GET, POST"]]);
    }
    const [, folder = "", token = "", ...more] = path.split("/");
    const kind = Object.hasOwn(FOLDERS, folder) ? FOLDERS[folder] : undefined;
    const wish = kind === undefined || more.length > 0 ? undefined : this.#pending.take(token);
    if (wish === undefined || wish.kind !== kind) {
      throw refused(
        404,
        "404, because this URL was never given out, was used already, or has expired",
      );
    }
    return wish;
  }

  /**
   * Counts a session until its connection is closed, which may be later than its end: a client that is cut
   * off for its slowness has time to take what it was sent.
   *
   * @throws {RefusedRequest} there are as many sessions of the kind as there may be
   */
  #count({ kind }: Wish, connection: Connection): void {
    if (kind === "exec") return;
    const { what, limit } = COUNTED[kind];
    if (this.#counts[kind] >= limit) throw full(what, limit);
    this.#counts[kind]++;
    void connection.closed.then(() => void this.#counts[kind]--);
  }

  #url(folder: string, wish: Wish, argumentBytes?: number): string {
    return `${this.baseUrl}/${folder}/${this.#pending.add(wish, argumentBytes)}`;
  }

  #cutAll(): void {
    for (const connection of this.#connections) connection.destroy();
  }
}

function full(what: string, limit: number): RefusedRequest {
  return refused(503, `There are ${limit} ${what} already, which is the limit; end some of them`);
}

/** A session that does not end by itself after it was told to is cut. */
function cutLater(connection: Connection): void {
  const timer = setTimeout(() => connection.destroy(), 2 * CLOSE_TIMEOUT_MS);
  void connection.closed.then(() => clearTimeout(timer));
}

async function serveWish(wish: Wish, session: Session): Promise<void> {
  const byWebSocket = asksForWebSocket(session.head);
  switch (wish.kind) {
    case "exec":
    case "attach":
      return byWebSocket
        ? await serveRemoteCommandByWebSocket(wish, session)
        : await serveRemoteCommandBySpdy(wish, session);
    case "port-forward":
      return byWebSocket
        ? await servePortForwardByWebSocket(wish, session)
        : await servePortForwardBySpdy(wish, session);
    default:
      wish satisfies never;
  }
}

async function refuse(connection: Connection, { refusal }: RefusedRequest): Promise<void> {
  try {
    await connection.write(refusalBytes(refusal));
  } catch {
    return; // Nobody is left to be refused.
  }
  await connection.close(CLOSE_TIMEOUT_MS);
}

/** @throws {UnavailableError} the address or port cannot be had */
function bind({ address, port, kernel }: StreamingServerOptions): ReturnType<typeof listenTcp> {
  try {
    return listenTcp(kernel, { address, port, keepAlive: KEEP_ALIVE });
  } catch (error) {
    const isPort = isErrno(error, "EADDRINUSE") || isErrno(error, "EACCES");
    throw new UnavailableError(
      `Could not serve streams on ${address} port ${port}: ${errorMessage(error)}`,
      {
        field: isPort ? "api.stream_port" : "api.stream_address",
        value: isPort ? String(port) : address,
        cause: error,
        remedy: "give an address of this node and a free port, or port 0",
      },
    );
  }
}

/** The address in a URL for clients on this host, who reach a server at every address by the loopback's. */
function hostOf(address: string): string {
  if (address === "0.0.0.0") return "127.0.0.1";
  if (isIP(address) === 4) return address;
  const { hostname } = new URL(`http://[${address}]`);
  return hostname === "[::]" ? "[::1]" : hostname;
}
