/**
 * HTTP requests to registries with what a registry's folder of certificates says: further CAs, a client
 * certificate, or no verification at all. Redirects are for the caller to follow.
 *
 * @module
 */
import { Agent, request as nodeRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { errorMessage } from "../errors/mod.ts";

/** Travels to workers. All texts are PEM. */
export interface TlsSettings {
  /** Trusted beside the system's. */
  readonly caCerts: readonly string[];
  readonly client?: { readonly cert: string; readonly key: string };
  /** False takes any certificate: the registry is configured as insecure. */
  readonly verify: boolean;
}

export const SYSTEM_TRUST: TlsSettings = { caCerts: [], verify: true };

export interface TransportRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** A POST with this body instead of a GET. */
  readonly form?: string;
}

/** Not an error of the domain: its callers know what was wanted of whom. It has no cause, which would tell the URL. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/**
 * Why an exchange failed, for messages and the log. Of a URL only the host is left: path, query and user
 * may be secrets, above all where a registry redirected to signed addresses. Callers add who was asked.
 */
export function failureText(error: unknown): string {
  // What fetch says itself is only that it failed.
  const inner = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return errorMessage(inner)
    .replace(/^error sending request(?: from \S+)? for (?:url )?\S+(?: \([^\s()]*\))?:? /, "")
    .replace(/\b[a-z][a-z0-9+.-]*:\/\/\S+/gi, (url) => URL.parse(url)?.host || "(address)")
    .replace(/^Invalid header value: [^]*$/, "a header would have a value that is not allowed")
    .replace(/^client error \(\w+\): /, "");
}

/** An address as it may stand in a message: without its query, which may be a signature. */
export function addressText(address: string): string {
  return address.replace(/[?#][^]*$/, "").replace(/\/\/[^/@]*@/, "//");
}

export class HttpTransport implements Disposable {
  readonly #tls: TlsSettings;
  readonly #client: Deno.HttpClient | undefined;
  readonly #agent: Agent | undefined;

  /** @throws {Deno.errors.InvalidData} a certificate or key is not one */
  constructor(tls: TlsSettings) {
    this.#tls = tls;
    const { caCerts, client, verify } = tls;
    this.#client = caCerts.length === 0 && client === undefined
      ? undefined
      : Deno.createHttpClient({ caCerts: [...caCerts], ...client });
    this.#agent = verify ? undefined : new Agent({ rejectUnauthorized: false, ...client });
  }

  /**
   * One exchange. Reading the body of its answer may fail, too: {@link failureText} says why.
   *
   * @throws {ConnectionError} there is no answer
   * @throws the reason of the signal, if it fired
   */
  async request(url: URL, request: TransportRequest): Promise<Response> {
    try {
      return await this.#exchange(url, request);
    } catch (error) {
      if (request.signal.aborted) throw request.signal.reason;
      throw new ConnectionError(failureText(error));
    }
  }

  async #exchange(url: URL, { headers, signal, form }: TransportRequest): Promise<Response> {
    const { host: _host, ...plain } = headers;
    const sent = form === undefined
      ? plain
      : { ...plain, "content-type": "application/x-www-form-urlencoded" };
    const method = form === undefined ? "GET" : "POST";
    // fetch verifies always, and cannot be told otherwise for one host.
    if (this.#agent !== undefined && url.protocol === "https:") {
      return await this.#unverified(url, method, sent, signal, form);
    }
    return await fetch(url, {
      method,
      headers: sent,
      redirect: "manual",
      signal,
      ...(form === undefined ? {} : { body: form }),
      ...(this.#client === undefined ? {} : { client: this.#client }),
    });
  }

  [Symbol.dispose](): void {
    this.#client?.close();
    this.#agent?.destroy();
  }

  #unverified(
    url: URL,
    method: string,
    headers: Record<string, string>,
    signal: AbortSignal,
    form: string | undefined,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const request = nodeRequest(url, {
        method,
        headers: form === undefined
          ? headers
          : { ...headers, "content-length": String(new TextEncoder().encode(form).length) },
        agent: this.#agent!,
        rejectUnauthorized: false,
        ...this.#tls.client,
      });
      const stop = () => request.destroy(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      const settled = () => signal.removeEventListener("abort", stop);
      request.on("error", (error) => {
        settled();
        reject(signal.aborted ? signal.reason : error);
      });
      request.on("response", (message: IncomingMessage) => {
        message.on("close", settled);
        resolve(responseOf(message));
      });
      request.end(form);
    });
  }
}

/** Statuses that have no body. */
const BODILESS = new Set([101, 204, 205, 304]);

function responseOf(message: IncomingMessage): Response {
  const headers = new Headers();
  for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) {
    headers.append(message.rawHeaders[i]!, message.rawHeaders[i + 1]!);
  }
  const status = message.statusCode ?? 0;
  if (BODILESS.has(status)) {
    message.resume();
    return new Response(null, { status, headers });
  }
  return new Response(Readable.toWeb(message) as unknown as ReadableStream<Uint8Array>, {
    status,
    headers,
  });
}
