/**
 * The streaming server: gives out URLs that are good for one use, and serves the sessions behind
 * them on a listener of its own.
 *
 * @module
 */
import { createServer, type Server, type Socket } from "node:net";
import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from "node:tls";
import { isIP } from "node:net";
import { errorMessage, UnavailableError } from "../errors/mod.ts";
import type { Clock, ContainerId, SandboxId } from "../model/mod.ts";
import type { ExecSession, StreamService } from "../pod/mod.ts";
import { type ByteDescriptors, type FileWatcher, type Kernel, takeDescriptor } from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { Connection, type Transport } from "./connection.ts";
import { readHead, refusalBytes, refused, RefusedRequest, type RequestHead } from "./http_head.ts";
import { IdleTimer } from "./idle_timer.ts";
import {
  CLOSE_TIMEOUT_MS,
  CONNECTIONS_LIMIT,
  HEAD_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  PORT_FORWARD_SESSIONS_LIMIT,
} from "./limits.ts";
import { PendingUrls } from "./pending_urls.ts";
import type { PortForward } from "./port_forward.ts";
import { servePortForwardBySpdy } from "./port_forward_spdy.ts";
import { servePortForwardByWebSocket } from "./port_forward_websocket.ts";
import type { RemoteCommand, WantedStreams } from "./remote_command.ts";
import { serveRemoteCommandBySpdy } from "./remote_command_spdy.ts";
import { serveRemoteCommandByWebSocket } from "./remote_command_websocket.ts";
import type { Session } from "./session.ts";
import {
  allowedSuites,
  readTlsFiles,
  type TlsContext,
  type TlsOptions,
  watchTlsFiles,
} from "./tls_files.ts";
import { TlsTransport } from "./tls_transport.ts";
import { asksForWebSocket } from "./websocket/handshake.ts";

export interface StreamingServerOptions {
  /** An IP address; anything else listens on all addresses, as in CRI-O. */
  readonly address: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls: TlsOptions | undefined;
  /** Without a byte for so long a session ends; 0 for never. */
  readonly idleTimeoutMs: number;
  readonly service: StreamService;
  readonly fileWatcher: FileWatcher;
  readonly kernel: Kernel;
  readonly descriptors: ByteDescriptors;
  readonly clock: Clock;
  readonly log: Logger;
  /** Makes the descriptors of this process close-on-exec: Deno's listening socket is not. */
  readonly sealDescriptors?: () => void;
}

/** URLs for what was checked; each is good for one use and for half a minute. */
export interface StreamUrls {
  /** @throws {ResourceExhaustedError} too many URLs wait for their use; also of the others */
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

/** A server that is listening. Disposing cuts what is open. */
export class StreamingServer implements StreamUrls, AsyncDisposable {
  /** `http://127.0.0.1:34567` */
  readonly baseUrl: string;
  readonly #options: StreamingServerOptions;
  readonly #server: Server | TlsServer;
  readonly #pending: PendingUrls<Wish>;
  readonly #connections = new Set<Connection>();
  readonly #sessions = new Map<Promise<void>, AbortController>();
  #forwards = 0;
  #watch: Disposable | undefined;

  private constructor(
    options: StreamingServerOptions,
    server: Server | TlsServer,
  ) {
    this.#options = options;
    this.#server = server;
    this.#pending = new PendingUrls(options.clock);
    const { address, port } = boundTo(server);
    const host = isIP(address) === 6 ? `[${address}]` : address;
    this.baseUrl = `${options.tls === undefined ? "http" : "https"}://${host}:${port}`;
  }

  /**
   * Listens and serves.
   *
   * @throws {InvalidArgumentError} {@link TlsOptions} that cannot be
   * @throws {FailedPreconditionError} the certificates are of no use
   * @throws {UnavailableError} the address or port cannot be had
   */
  static async listen(options: StreamingServerOptions): Promise<StreamingServer> {
    const { tls, fileWatcher, log, kernel, descriptors } = options;
    // Who connects between bind and the next turn waits for the server that serves it.
    const listening = Promise.withResolvers<StreamingServer>();
    const serve = (transport: Transport) =>
      void listening.promise.then((server) => server.#connected(transport));
    const common = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true };
    let server: Server | TlsServer;
    if (tls === undefined) {
      server = createServer(common, (socket) => {
        keepLively(socket);
        const fd = takeDescriptor(socket, kernel);
        // Undefined of a client that has gone already.
        if (fd !== undefined) serve(descriptors.open(fd));
      });
    } else {
      const suites = allowedSuites(tls.cipherSuites);
      const secure = createTlsServer({
        ...common,
        ...secureOptions(tls, await readTlsFiles(tls)),
        handshakeTimeout: HEAD_TIMEOUT_MS,
      }, (socket: TLSSocket) => {
        // The library speaks all of its suites: one that is not wanted ends here, unused.
        if (socket.getProtocol() === "TLSv1.2" && !suites.has(socket.getCipher().standardName)) {
          log.info("A client agreed on a cipher suite that is not wanted", {
            suite: socket.getCipher().standardName,
          });
          socket.destroy();
        } else {
          keepLively(socket);
          serve(new TlsTransport(socket));
        }
      });
      secure.on("tlsClientError", (error: Error) => {
        log.debug("A TLS handshake failed", { error: error.message });
      });
      server = secure;
    }
    await bind(server, options);
    const serving = new StreamingServer(options, server);
    listening.resolve(serving);
    if (tls !== undefined) {
      serving.#watch = watchTlsFiles(tls, {
        watcher: fileWatcher,
        log,
        onChange: (context) => (server as TlsServer).setSecureContext(secureOptions(tls, context)),
      });
    }
    log.info("Serving streams", { url: serving.baseUrl });
    return serving;
  }

  exec(session: ExecSession, wanted: WantedStreams): string {
    return this.#url("exec", { kind: "exec", session, wanted });
  }

  attach(container: ContainerId, wanted: WantedStreams): string {
    return this.#url("attach", { kind: "attach", container, wanted });
  }

  portForward(sandbox: SandboxId, ports: readonly number[]): string {
    return this.#url("portforward", { kind: "port-forward", sandbox, ports });
  }

  /** Accepts nothing new and tells every session to end; cuts those that have not after `graceMs`. */
  async stop(graceMs = CLOSE_TIMEOUT_MS): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const reason = new UnavailableError("The server stops");
    for (const cut of this.#sessions.values()) cut.abort(reason);
    const timer = setTimeout(() => this.#cutAll(), graceMs);
    await Promise.all(this.#sessions.keys());
    clearTimeout(timer);
    this.#cutAll();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop(0);
  }

  /** A new connection, which this owns from now on. */
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
    try {
      if (this.#connections.size > CONNECTIONS_LIMIT) {
        throw full("streaming connections", CONNECTIONS_LIMIT);
      }
      const head = await this.#head(connection, cut.signal);
      if (head === undefined) return;
      const wish = this.#take(head);
      using _place = this.#enter(wish);
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
    const late = () => {
      void connection.write(refusalBytes({
        status: 408,
        text: `The request has not come within ${HEAD_TIMEOUT_MS / 1000} s`,
      })).catch(() => {}).then(() => connection.destroy());
    };
    const stop = () => connection.destroy();
    const timer = setTimeout(late, HEAD_TIMEOUT_MS);
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

  /** @throws {RefusedRequest} there are as many sessions of the kind as there may be */
  #enter({ kind }: Wish): Disposable | undefined {
    // The others are counted where their processes are.
    if (kind !== "port-forward") return undefined;
    if (this.#forwards >= PORT_FORWARD_SESSIONS_LIMIT) {
      throw full("port-forward sessions", PORT_FORWARD_SESSIONS_LIMIT);
    }
    this.#forwards++;
    return { [Symbol.dispose]: () => void this.#forwards-- };
  }

  #url(folder: string, wish: Wish): string {
    return `${this.baseUrl}/${folder}/${this.#pending.add(wish)}`;
  }

  #cutAll(): void {
    for (const connection of this.#connections) connection.destroy();
  }
}

function full(what: string, limit: number): RefusedRequest {
  return refused(503, `There are ${limit} ${what} already, which is the limit; end some of them`);
}

function keepLively(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
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

function secureOptions(
  { minVersion }: TlsOptions,
  { cert, key, ca }: TlsContext,
): {
  cert: string;
  key: string;
  minVersion: "TLSv1.2" | "TLSv1.3";
  ca?: string;
  requestCert?: true;
  rejectUnauthorized?: true;
} {
  return {
    cert,
    key,
    minVersion: minVersion === "VersionTLS13" ? "TLSv1.3" : "TLSv1.2",
    ...(ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }),
  };
}

async function bind(
  server: Server | TlsServer,
  { address, port, sealDescriptors = () => {} }: StreamingServerOptions,
): Promise<void> {
  const hosts = isIP(address) === 0 ? ["::", "0.0.0.0"] : [address];
  for (const host of hosts) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ host, port }, () => {
          server.off("error", reject);
          resolve();
        });
        sealDescriptors();
      });
      sealDescriptors();
      return;
    } catch (error) {
      // A node without IPv6 has no "::".
      if (host === "::" && (error as { code?: string }).code !== "EADDRINUSE") continue;
      throw new UnavailableError(
        `Could not serve streams on ${host} port ${port}: ${errorMessage(error)}`,
        {
          field: port === 0 ? "api.stream_address" : "api.stream_port",
          value: port === 0 ? address : String(port),
          cause: error,
          remedy: "give an address of this node and a free port, or port 0",
        },
      );
    }
  }
}

function boundTo(server: Server): { readonly address: string; readonly port: number } {
  const bound = server.address();
  if (bound === null || typeof bound === "string") {
    throw new UnavailableError("The streaming server does not listen");
  }
  return bound;
}
