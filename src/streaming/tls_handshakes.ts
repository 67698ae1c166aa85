/**
 * TLS above connections that were accepted as descriptors.
 *
 * @module
 */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Logger } from "../telemetry/mod.ts";
import { allowedSuites, type TlsContext, type TlsOptions } from "./tls_files.ts";
import type { UnauthenticatedClients } from "./unauthenticated_clients.ts";

export interface TlsHandshakesOptions {
  readonly tls: TlsOptions;
  readonly context: TlsContext;
  readonly timeoutMs: number;
  /** What is under way is among them. */
  readonly unauthenticated: UnauthenticatedClients;
  readonly log: Logger;
  /** Takes over a connection whose client has shaken hands and may speak. */
  readonly onSecure: (socket: TLSSocket) => void;
}

interface Handshake {
  readonly socket: Socket;
  readonly deadline: ReturnType<typeof setTimeout>;
  readonly place: Disposable;
}

/** Owns connections until their handshake is done; one that is not by its deadline is closed. */
export class TlsHandshakes implements Disposable {
  readonly #options: TlsHandshakesOptions;
  readonly #suites: ReadonlySet<string>;
  /** Never listens: it is given its connections. */
  readonly #server: Server;
  /** By the client's address: the library tells of a handshake by another socket than it was given. */
  readonly #underWay = new Map<string, Handshake>();

  /** @throws {InvalidArgumentError} {@link TlsOptions} that cannot be */
  constructor(options: TlsHandshakesOptions) {
    this.#options = options;
    this.#suites = allowedSuites(options.tls.cipherSuites);
    this.#server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      ...secureOptions(options.tls, options.context),
    }, (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error: Error) => {
      options.log.debug("A TLS handshake failed", { error: error.message });
    });
  }

  /** How many are under way. */
  get size(): number {
    return this.#underWay.size;
  }

  /** Shakes hands with the client of a connection, which this owns from now on. */
  begin(socket: Socket): void {
    const client = clientOf(socket);
    if (client === undefined) {
      socket.destroy(); // It has gone already.
      return;
    }
    // Two at once cannot be: the earlier one was reset, which has not been heard yet.
    this.#underWay.get(client)?.socket.destroy();
    this.#forget(client);
    // The library's own time-out tells of it, and leaves the connection open.
    const deadline = setTimeout(() => {
      this.#options.log.debug("A TLS handshake took too long", { client });
      socket.destroy();
    }, this.#options.timeoutMs);
    const place = this.#options.unauthenticated.enter(() => {
      this.#forget(client);
      socket.destroy();
    });
    this.#underWay.set(client, { socket, deadline, place });
    socket.once("close", () => {
      if (this.#underWay.get(client)?.socket === socket) this.#forget(client);
    });
    socket.on("error", () => socket.destroy());
    this.#server.emit("connection", socket);
  }

  /** What holds for clients that come from now on. */
  use(context: TlsContext): void {
    this.#server.setSecureContext(secureOptions(this.#options.tls, context));
  }

  /** Closes those that are under way. */
  [Symbol.dispose](): void {
    for (const { socket } of [...this.#underWay.values()]) socket.destroy();
  }

  #secured(socket: TLSSocket): void {
    const client = clientOf(socket);
    // Without an owner if the deadline passed meanwhile.
    if (client === undefined || !this.#forget(client)) {
      socket.destroy();
      return;
    }
    const suite = socket.getCipher().standardName;
    // The library speaks all of its suites: one that is not wanted ends here, unused.
    if (socket.getProtocol() === "TLSv1.2" && !this.#suites.has(suite)) {
      this.#options.log.info("A client agreed on a cipher suite that is not wanted", { suite });
      socket.destroy();
      return;
    }
    this.#options.onSecure(socket);
  }

  /** False if it was not under way. */
  #forget(client: string): boolean {
    const handshake = this.#underWay.get(client);
    if (handshake === undefined) return false;
    clearTimeout(handshake.deadline);
    handshake.place[Symbol.dispose]();
    return this.#underWay.delete(client);
  }
}

/** No two open connections to one listener have the same. */
function clientOf({ remoteAddress, remotePort }: Socket): string | undefined {
  return remotePort === undefined ? undefined : `${remoteAddress} ${remotePort}`;
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
