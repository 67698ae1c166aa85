/**
 * One bounded HTTP exchange with a registry: redirects without secrets, deadlines, and failures in the
 * domain's words.
 *
 * @module
 */
import {
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  ResourceExhaustedError,
  SauropodError,
  shown,
  UnavailableError,
} from "../errors/mod.ts";
import { addressText, failureText, type HttpTransport } from "../storage/mod.ts";
import { ConnectionRefusedError } from "./retry.ts";

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export interface HttpRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Longest body that is read. */
  readonly limitBytes: number;
  /** What is fetched, for messages: `the manifest of quay.io/a:b`. */
  readonly what: string;
  readonly transport: HttpTransport;
  /** A POST with these fields, which are secrets: no redirect is followed. */
  readonly form?: Readonly<Record<string, string>>;
  /** The registry is insecure: a redirect from https to plain http is followed. */
  readonly mayDowngrade?: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
}

/**
 * A GET, or with `form` a POST, whose whole answer is read. Request headers beyond `accept` go only to the first origin.
 *
 * @throws {UnavailableError} the connection failed or broke, or took longer than its time
 * @throws {FailedPreconditionError} the certificate is not trusted, or a redirect is not followed
 * @throws {ResourceExhaustedError} the body is longer than the limit
 * @throws {CancelledError} the signal fired
 */
export async function httpExchange(request: HttpRequest): Promise<HttpAnswer> {
  const timeout = AbortSignal.timeout(request.timeoutMs);
  const signal = AbortSignal.any([request.signal, timeout]);
  let url = request.url;
  try {
    for (let redirects = 0;; redirects++) {
      const response = await request.transport.request(url, {
        headers: headersFor(request, url),
        signal,
        ...(request.form === undefined
          ? {}
          : { form: String(new URLSearchParams({ ...request.form })) }),
      });
      if (request.form !== undefined || !REDIRECTS.has(response.status)) {
        const body = await readBounded(response, request);
        return { status: response.status, headers: response.headers, body, url };
      }
      await response.body?.cancel();
      if (redirects === MAX_REDIRECTS) {
        throw new FailedPreconditionError(
          `Cannot fetch ${request.what}: ${request.url.host} redirects more than ${MAX_REDIRECTS} times`,
        );
      }
      url = redirectTarget(response.headers.get("location") ?? "", url, request);
    }
  } catch (error) {
    if (error instanceof SauropodError) throw error;
    throw connectionError(error, url, request, timeout);
  }
}

function headersFor(request: HttpRequest, url: URL): Record<string, string> {
  // The bytes must be those that the digest is of.
  const own = { "accept-encoding": "identity" };
  if (url.origin === request.url.origin) return { ...request.headers, ...own };
  const accept = request.headers["accept"];
  return accept === undefined ? own : { accept, ...own };
}

function redirectTarget(
  location: string,
  from: URL,
  { what, mayDowngrade }: HttpRequest,
): URL {
  const target = URL.parse(location, from);
  const plain = target?.protocol === "http:";
  if (target === null || (!plain && target.protocol !== "https:")) {
    throw new FailedPreconditionError(
      `Cannot fetch ${what}: ${from.host} redirects to ${
        shown(addressText(location))
      }, which is no http address`,
    );
  }
  if (plain && from.protocol === "https:" && mayDowngrade !== true) {
    throw new FailedPreconditionError(
      `Cannot fetch ${what}: ${from.host} redirects from https to plain http on ${target.host}`,
    );
  }
  return target;
}

async function readBounded(response: Response, request: HttpRequest): Promise<Uint8Array> {
  const { limitBytes, what } = request;
  const stated = Number(response.headers.get("content-length") ?? 0);
  if (stated > limitBytes) {
    await response.body?.cancel();
    throw tooLarge(what, limitBytes);
  }
  if (response.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    // Leaving the loop cancels the body.
    if (length > limitBytes) throw tooLarge(what, limitBytes);
    chunks.push(chunk);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function tooLarge(what: string, limitBytes: number): ResourceExhaustedError {
  return new ResourceExhaustedError(
    `Cannot fetch ${what}: it is larger than ${limitBytes} bytes`,
    { value: String(limitBytes) },
  );
}

function connectionError(
  error: unknown,
  url: URL,
  { what, signal, timeoutMs }: HttpRequest,
  timeout: AbortSignal,
): SauropodError {
  if (signal.aborted) {
    return signal.reason instanceof DeadlineExceededError
      ? signal.reason
      : new CancelledError(`Fetching ${what} was cancelled`, { cause: signal.reason });
  }
  if (timeout.aborted) {
    return new UnavailableError(
      `Cannot fetch ${what}: ${url.host} took longer than ${timeoutMs} ms`,
    );
  }
  const reason = failureText(error);
  const message = `Cannot fetch ${what} from ${url.origin}: ${reason}`;
  if (/certificate/i.test(reason)) {
    return new FailedPreconditionError(message, {
      remedy: /alert/i.test(reason)
        ? `it wants a client certificate: put *.cert and *.key into /etc/containers/certs.d/${url.host}`
        : `put the registry's CA into /etc/containers/certs.d/${url.host}/ca.crt`,
    });
  }
  return /connection refused|ECONNREFUSED/i.test(reason)
    ? new ConnectionRefusedError(message)
    : new UnavailableError(message);
}
