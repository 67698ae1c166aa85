/**
 * The HTTP/1.1 side of the socket: small pages for the command line and for curl, and the transfers
 * that the CRI has no message for.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import { type ErrorKind, errorKind, errorMessage } from "../errors/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

export interface HttpAnswer {
  readonly status?: number;
  /** `application/json` unless said otherwise. */
  readonly contentType?: string;
  /** Texts are sent as they come; what fails on the way cuts the connection. */
  readonly body: string | Uint8Array | AsyncIterable<string>;
}

/** What a handler may want beside the path. */
export interface HttpRequest {
  readonly query: URLSearchParams;
  readonly body: AsyncIterable<Uint8Array>;
  /** Fires when the client has gone before the answer was complete. */
  readonly signal: AbortSignal;
}

/** @param rest of the path, after a route that ends in `/`; decoded, empty for other routes */
export type HttpHandler = (rest: string, request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

/**
 * GET handlers by path. A path that ends in `/` takes everything below it: `/containers/`. Handlers
 * that change something have the method before their path: `POST /v1/images/load`.
 */
export type HttpRoutes = Readonly<Record<string, HttpHandler>>;

/** As CRI-O reads them: no client of this socket needs longer for a request line. */
const READ_TIMEOUT_MS = 5_000;

/** A server that is given its connections; it never listens itself. */
export function createHttpServer(routes: HttpRoutes, log: Logger): Server {
  const server = createServer((request, response) => {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    answer(routes, request, gone.signal).then(
      (found) =>
        send(response, found).catch((error: unknown) => {
          log.warn("HTTP answer was cut", { path: request.url, error });
          response.destroy();
        }),
      (error: unknown) => {
        const status = STATUS_OF_KIND[errorKind(error)] ?? 500;
        if (status === 500) log.error("HTTP request failed", { path: request.url, error });
        // The answer to an error is one text: sending it cannot fail on the way.
        void send(response, {
          status,
          contentType: "text/plain",
          body: `${errorMessage(error)}\n`,
        });
      },
    );
  });
  server.headersTimeout = READ_TIMEOUT_MS;
  // The whole request: an archive may take its time.
  server.requestTimeout = 0;
  return server;
}

const STATUS_OF_KIND: Readonly<Partial<Record<ErrorKind, number>>> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  failed_precondition: 409,
  already_exists: 409,
  unimplemented: 501,
  unavailable: 503,
  resource_exhausted: 507,
};

async function answer(
  routes: HttpRoutes,
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const text = (status: number, body: string): HttpAnswer => ({
    status,
    contentType: "text/plain",
    body: `${body}\n`,
  });
  const [encoded = "/", query = ""] = (request.url ?? "/").split("?", 2);
  const details = { query: new URLSearchParams(query), body: request, signal };
  let path: string;
  try {
    path = decodeURIComponent(encoded);
  } catch {
    return text(400, "The path is not correctly encoded");
  }
  const changing = `${request.method} ${path}`;
  if (Object.hasOwn(routes, changing)) return await routes[changing]!("", details);
  if (request.method !== "GET") return text(405, "Only GET is served here");
  if (Object.hasOwn(routes, path) && !path.endsWith("/")) return await routes[path]!("", details);
  const cut = path.lastIndexOf("/") + 1;
  const folder = path.slice(0, cut);
  if (folder !== "/" && cut < path.length && Object.hasOwn(routes, folder)) {
    return await routes[folder]!(path.slice(cut), details);
  }
  return text(404, `Nothing is served at ${JSON.stringify(path)}`);
}

async function send(
  response: ServerResponse,
  { status, contentType, body }: HttpAnswer,
): Promise<void> {
  const isWhole = typeof body === "string" || body instanceof Uint8Array;
  response.writeHead(status ?? 200, {
    "content-type": contentType ?? "application/json",
    ...(isWhole
      ? {
        "content-length": typeof body === "string"
          ? new TextEncoder().encode(body).length
          : body.length,
      }
      : {}),
    // Deno's server resets the second request of a connection that was handed to it.
    "connection": "close",
  });
  if (isWhole) {
    response.end(body);
    return;
  }
  for await (const text of body) {
    if (response.destroyed) return;
    if (!response.write(text)) await once(response, "drain");
  }
  response.end();
}
