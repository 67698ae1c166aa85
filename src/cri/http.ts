/**
 * The HTTP/1.1 side of the socket: small read-only pages for the command line and for curl.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { errorKind, errorMessage } from "../errors/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

export interface HttpAnswer {
  readonly status?: number;
  /** `application/json` unless said otherwise. */
  readonly contentType?: string;
  readonly body: string | Uint8Array;
}

/** @param rest of the path, after a route that ends in `/`; decoded, empty for other routes */
export type HttpHandler = (rest: string) => HttpAnswer | Promise<HttpAnswer>;

/** GET handlers by path. A path that ends in `/` takes everything below it: `/containers/`. */
export type HttpRoutes = Readonly<Record<string, HttpHandler>>;

/** As CRI-O reads them: no client of this socket needs longer for a request line. */
const READ_TIMEOUT_MS = 5_000;

/** A server that is given its connections; it never listens itself. */
export function createHttpServer(routes: HttpRoutes, log: Logger): Server {
  const server = createServer((request, response) => {
    answer(routes, request).then(
      (found) => send(response, found),
      (error: unknown) => {
        const status = errorKind(error) === "not_found" ? 404 : 500;
        if (status === 500) log.error("HTTP request failed", { path: request.url, error });
        send(response, { status, contentType: "text/plain", body: `${errorMessage(error)}\n` });
      },
    );
  });
  server.headersTimeout = READ_TIMEOUT_MS;
  server.requestTimeout = READ_TIMEOUT_MS;
  return server;
}

async function answer(routes: HttpRoutes, request: IncomingMessage): Promise<HttpAnswer> {
  const text = (status: number, body: string): HttpAnswer => ({
    status,
    contentType: "text/plain",
    body: `${body}\n`,
  });
  if (request.method !== "GET") return text(405, "Only GET is served here");
  let path: string;
  try {
    path = decodeURIComponent((request.url ?? "/").split("?", 1)[0] ?? "/");
  } catch {
    return text(400, "The path is not correctly encoded");
  }
  if (Object.hasOwn(routes, path) && !path.endsWith("/")) return await routes[path]!("");
  const cut = path.lastIndexOf("/") + 1;
  const folder = path.slice(0, cut);
  if (folder !== "/" && cut < path.length && Object.hasOwn(routes, folder)) {
    return await routes[folder]!(path.slice(cut));
  }
  return text(404, `Nothing is served at ${JSON.stringify(path)}`);
}

function send(response: ServerResponse, { status, contentType, body }: HttpAnswer): void {
  response.writeHead(status ?? 200, {
    "content-type": contentType ?? "application/json",
    "content-length": typeof body === "string"
      ? new TextEncoder().encode(body).length
      : body.length,
    // Deno's server resets the second request of a connection that was handed to it.
    "connection": "close",
  });
  response.end(body);
}
