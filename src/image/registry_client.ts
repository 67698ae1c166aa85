/**
 * The pull side of the OCI Distribution API for one repository at one endpoint.
 *
 * A client is made for one pull: it learns once whether the endpoint speaks HTTPS and how it wants to
 * be authenticated, and keeps tokens until they expire. Failures that may pass are tried again.
 *
 * @module
 */
import { createHash } from "node:crypto";
import {
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  shown,
  UnauthenticatedError,
  UnavailableError,
} from "../errors/mod.ts";
import { type Digest, digestHex, isDigest } from "../model/mod.ts";
import { addressText, type BlobPlace, HttpTransport, type TlsSettings } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Endpoint } from "./endpoints.ts";
import type { PasswordCredentials, PullCredentials } from "./images.ts";
import { MANIFEST_MEDIA_TYPES } from "./media_types.ts";
import { type HttpAnswer, httpExchange } from "./registry_http.ts";
import { type RetryPolicy, withRetries } from "./retry.ts";
import { statusError } from "./status_error.ts";

/** Largest manifest or index, as the distribution specification wants registries to accept. */
export const MAX_MANIFEST_BYTES = 4 << 20;
/** Largest image configuration. */
export const MAX_CONFIG_BYTES = 4 << 20;
const MAX_TOKEN_BYTES = 1 << 20;
const MAX_ERROR_BYTES = 64 << 10;
/** A token is not used in its last seconds: it must still be good when the request arrives. */
const TOKEN_MARGIN_MS = 5_000;
/** What the token specification says when a server states no lifetime. */
const DEFAULT_TOKEN_SECONDS = 60;

export interface RegistryClientOptions {
  readonly endpoint: Endpoint;
  /** Looked for once, when the registry asks for any. */
  readonly credentials: (signal: AbortSignal) => Promise<PullCredentials | undefined>;
  readonly tls: TlsSettings;
  readonly retry: RetryPolicy;
  /** For one exchange, body included. */
  readonly timeoutMs: number;
  readonly log: Logger;
}

export interface FetchedManifest {
  readonly bytes: Uint8Array;
  /** Of `bytes`, verified. */
  readonly digest: Digest;
  /** `Content-Type` without parameters; empty if there was none. */
  readonly contentType: string;
}

interface Session {
  readonly base: URL;
  readonly challenges: readonly Challenge[];
}

interface Token {
  readonly authorization: string;
  readonly goodUntilMs: number;
}

export class RegistryClient implements Disposable {
  readonly endpoint: Endpoint;
  readonly #options: RegistryClientOptions;
  readonly #transport: HttpTransport;
  #credentials: Promise<PullCredentials | undefined> | undefined;
  /** Whether a request went with credentials, for messages. */
  #authenticated = false;
  #session: Promise<Session> | undefined;
  #token: Token | undefined;

  /** @throws {FailedPreconditionError} a certificate is not one */
  constructor(options: RegistryClientOptions) {
    this.endpoint = options.endpoint;
    this.#options = options;
    try {
      this.#transport = new HttpTransport(options.tls);
    } catch (error) {
      throw new FailedPreconditionError(
        `Cannot use the certificates for ${options.endpoint.host}: ${errorMessage(error)}`,
        { cause: error },
      );
    }
  }

  /**
   * A manifest or index by tag or digest, its bytes checked against the digest asked for, or else
   * against the one that the registry states.
   *
   * @throws {NotFoundError} | {UnauthenticatedError} | {PermissionDeniedError} as the registry says
   * @throws {InvalidArgumentError} the bytes do not have the digest
   * @throws {ResourceExhaustedError} over 4 MiB
   * @throws {UnavailableError} the registry does not answer, after all attempts
   */
  async manifest(selected: string, signal: AbortSignal): Promise<FetchedManifest> {
    const what = `the manifest ${selected} of ${this.endpoint.name}`;
    const answer = await this.#get(`manifests/${selected}`, {
      what,
      signal,
      limitBytes: MAX_MANIFEST_BYTES,
      accept: MANIFEST_MEDIA_TYPES.join(", "),
    });
    const stated = answer.headers.get("docker-content-digest") ?? "";
    const wanted = isDigest(selected) ? selected : isDigest(stated) ? stated : undefined;
    const digest = digestOf(answer.body, wanted?.startsWith("sha512:") ? "sha512" : "sha256");
    if (wanted !== undefined && wanted !== digest) {
      throw new InvalidArgumentError(
        `The registry ${this.endpoint.host} sent ${what} with the digest ${digest}, not ${wanted}`,
        { value: digest, remedy: "pull again; if it stays, the registry or a proxy is broken" },
      );
    }
    const contentType = (answer.headers.get("content-type") ?? "").split(";")[0]!.trim();
    return { bytes: answer.body, digest, contentType };
  }

  /** A small blob, whole and verified. Throws as {@link manifest} does. */
  async blob(digest: Digest, limitBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    const what = `the blob ${digest} of ${this.endpoint.name}`;
    const { body } = await this.#get(`blobs/${digest}`, { what, signal, limitBytes });
    const algorithm = digest.startsWith("sha512:") ? "sha512" : "sha256";
    const actual = digestOf(body, algorithm);
    if (actual !== digest) {
      throw new InvalidArgumentError(
        `The registry ${this.endpoint.host} sent ${what} with the digest ${actual}`,
        { value: actual },
      );
    }
    return body;
  }

  /** Where and how a worker fetches a layer, with an authorization that is good now. */
  async blobPlace(digest: Digest, signal: AbortSignal): Promise<BlobPlace> {
    const session = await this.#connected(signal);
    const authorization = await this.#authorization(session, signal);
    return {
      url: new URL(`v2/${this.endpoint.repository}/blobs/${digest}`, session.base).href,
      headers: authorization === undefined ? {} : { authorization },
      tls: this.#options.tls,
    };
  }

  /** To be called when a worker's request was answered 401: the next source has a fresh token. */
  forgetToken(): void {
    this.#token = undefined;
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  #get(
    path: string,
    wanted: {
      readonly what: string;
      readonly signal: AbortSignal;
      readonly limitBytes: number;
      readonly accept?: string;
    },
  ): Promise<HttpAnswer> {
    const { what, signal, limitBytes, accept } = wanted;
    const { retry: policy, log } = this.#options;
    return withRetries({ policy, signal, log, what }, async () => {
      const session = await this.#connected(signal);
      const url = new URL(`v2/${this.endpoint.repository}/${path}`, session.base);
      const send = (authorization: string | undefined) =>
        this.#exchange(url, {
          what,
          signal,
          limitBytes,
          headers: {
            ...(accept === undefined ? {} : { accept }),
            ...(authorization === undefined ? {} : { authorization }),
          },
        });
      const sent = await this.#authorization(session, signal);
      let answer = await send(sent);
      if (answer.status === 401) {
        // A token that ended early, or a registry that asks only here.
        this.#token = undefined;
        const challenges = parseChallenges(answer.headers.get("www-authenticate") ?? "");
        const asked = { base: session.base, challenges };
        if (challenges.length > 0) {
          this.#session = Promise.resolve(asked);
          const fresh = await this.#authorization(asked, signal);
          // The same once more would only count against the user's attempts.
          if (fresh !== sent) answer = await send(fresh);
        }
      }
      if (answer.status === 200) return answer;
      throw this.#refused(answer, what);
    });
  }

  #exchange(
    url: URL,
    request: {
      readonly what: string;
      readonly signal: AbortSignal;
      readonly limitBytes: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly form?: Readonly<Record<string, string>>;
    },
  ): Promise<HttpAnswer> {
    return httpExchange({
      url,
      ...request,
      timeoutMs: this.#options.timeoutMs,
      transport: this.#transport,
      mayDowngrade: this.endpoint.insecure,
    });
  }

  #refused(answer: HttpAnswer, what: string): Error {
    return statusError({
      status: answer.status,
      retryAfter: answer.headers.get("retry-after") ?? "",
      message: `Cannot fetch ${what}: ${answer.url.host} answered ${answer.status}${
        saidBy(answer)
      }`,
      authenticated: this.#authenticated,
    });
  }

  /** A failure is kept, too: a helper that failed is not asked again by each layer. */
  #credentialsOnce(signal: AbortSignal): Promise<PullCredentials | undefined> {
    this.#credentials ??= this.#options.credentials(signal);
    return this.#credentials;
  }

  #connected(signal: AbortSignal): Promise<Session> {
    // Layers ask at the same time; one of them finds out, and a failure is not kept.
    this.#session ??= this.#connect(signal).catch((error: unknown) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  /** HTTPS, and only where the configuration allows it plain HTTP after that. */
  async #connect(signal: AbortSignal): Promise<Session> {
    const { host, insecure } = this.endpoint;
    try {
      return await this.#ping(baseUrl("https", host), signal);
    } catch (error) {
      if (!insecure || signal.aborted) throw error;
      try {
        return await this.#ping(baseUrl("http", host), signal);
      } catch (plain) {
        if (plain instanceof Error) plain.cause ??= error;
        throw plain;
      }
    }
  }

  async #ping(base: URL, signal: AbortSignal): Promise<Session> {
    const what = `the interface version of ${this.endpoint.host}`;
    const answer = await this.#exchange(new URL("v2/", base), {
      what,
      signal,
      limitBytes: MAX_ERROR_BYTES,
      headers: {},
    });
    switch (answer.status) {
      case 200:
        return { base, challenges: [] };
      case 401:
        return {
          base,
          challenges: parseChallenges(answer.headers.get("www-authenticate") ?? ""),
        };
      case 404:
        // Some caches serve repositories without the version path.
        return { base, challenges: [] };
      default:
        throw this.#refused(answer, what);
    }
  }

  async #authorization(session: Session, signal: AbortSignal): Promise<string | undefined> {
    if (session.challenges.length === 0) return undefined;
    const bearer = session.challenges.find((challenge) => challenge.scheme === "bearer");
    if (
      bearer !== undefined && this.#token !== undefined &&
      performance.now() < this.#token.goodUntilMs
    ) {
      return this.#token.authorization;
    }
    const credentials = await this.#credentialsOnce(signal);
    this.#authenticated = credentials !== undefined;
    if (credentials !== undefined && "registryToken" in credentials) {
      return `Bearer ${credentials.registryToken}`;
    }
    if (bearer !== undefined) {
      this.#token = await this.#fetchToken(bearer, session, credentials, signal);
      return this.#token.authorization;
    }
    if (credentials === undefined) return undefined;
    if ("identityToken" in credentials) {
      throw new UnauthenticatedError(
        `The registry ${this.endpoint.host} takes a user name and password, and no identity token`,
        { remedy: "give username and password" },
      );
    }
    return basicAuthorization(credentials);
  }

  async #fetchToken(
    challenge: Extract<Challenge, { scheme: "bearer" }>,
    session: Session,
    credentials: Exclude<PullCredentials, { readonly registryToken: string }> | undefined,
    signal: AbortSignal,
  ): Promise<Token> {
    const service = tokenService(challenge, session, this.endpoint);
    const scope = `repository:${this.endpoint.repository}:pull`;
    const what = `a token for ${this.endpoint.name}`;
    const askedMs = performance.now();
    const answer = await this.#exchange(
      credentials !== undefined && "identityToken" in credentials
        ? service
        : withQuery(service, { service: challenge.service, scope }),
      {
        what,
        signal,
        limitBytes: MAX_TOKEN_BYTES,
        ...(credentials === undefined ? { headers: {} } : "identityToken" in credentials
          // RFC 6749 section 6, as the token specification of the distribution project has it.
          ? {
            headers: {},
            form: {
              grant_type: "refresh_token",
              refresh_token: credentials.identityToken,
              service: challenge.service,
              scope,
              client_id: "sauropod",
            },
          }
          : { headers: { authorization: basicAuthorization(credentials) } }),
      },
    );
    if (answer.status !== 200) throw this.#refused(answer, what);
    const { token, seconds } = parseToken(answer.body, service);
    const lifeMs = Math.max(0, seconds * 1000 - TOKEN_MARGIN_MS);
    return { authorization: `Bearer ${token}`, goodUntilMs: askedMs + lifeMs };
  }
}

function baseUrl(scheme: "https" | "http", host: string): URL {
  const url = URL.parse(`${scheme}://${host}/`);
  if (url === null) {
    throw new InvalidArgumentError(`The registry ${shown(host)} is not a host`, { value: host });
  }
  return url;
}

function tokenService(
  challenge: Extract<Challenge, { scheme: "bearer" }>,
  session: Session,
  endpoint: Endpoint,
): URL {
  const url = URL.parse(challenge.realm);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new FailedPreconditionError(
      `The registry ${endpoint.host} names ${
        shown(addressText(challenge.realm))
      } as its token service`,
    );
  }
  if (url.protocol === "http:" && session.base.protocol === "https:") {
    // Credentials must not leave in the clear because a registry says so.
    throw new FailedPreconditionError(
      `The registry ${endpoint.host} wants credentials sent over plain http to ${url.host}`,
    );
  }
  return url;
}

function withQuery(url: URL, query: { readonly service: string; readonly scope: string }): URL {
  const asked = new URL(url);
  if (query.service !== "") asked.searchParams.set("service", query.service);
  asked.searchParams.set("scope", query.scope);
  return asked;
}

function parseToken(
  body: Uint8Array,
  url: URL,
): { readonly token: string; readonly seconds: number } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(body));
  } catch {
    // What the parser says quotes the answer, which may be a token.
    throw new UnavailableError(`The token service ${url.host} did not answer with JSON`);
  }
  const { token, access_token, expires_in } = (parsed ?? {}) as Record<string, unknown>;
  const text = typeof token === "string" && token !== "" ? token : access_token;
  if (typeof text !== "string" || !/^[\x21-\x7e]+$/.test(text)) {
    throw new UnavailableError(`The token service ${url.host} answered without a token`);
  }
  const seconds = typeof expires_in === "number" && expires_in > 0
    ? expires_in
    : DEFAULT_TOKEN_SECONDS;
  return { token: text, seconds };
}

function basicAuthorization({ username, password }: PasswordCredentials): string {
  return `Basic ${new TextEncoder().encode(`${username}:${password}`).toBase64()}`;
}

/** The digest of bytes, by the given algorithm. */
export function digestOf(bytes: Uint8Array, algorithm: "sha256" | "sha512" = "sha256"): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

/** True if the bytes have the digest, by its own algorithm. */
export function hasDigest(bytes: Uint8Array, digest: Digest): boolean {
  const algorithm = digest.startsWith("sha512:") ? "sha512" : "sha256";
  return digestHex(digestOf(bytes, algorithm)) === digestHex(digest);
}

/** The first error of the registry's own body, quoted: it is text of a stranger. */
function saidBy(answer: HttpAnswer): string {
  try {
    const body = JSON.parse(new TextDecoder().decode(answer.body)) as {
      readonly errors?: readonly { readonly code?: unknown; readonly message?: unknown }[];
    };
    const first = body.errors?.[0];
    return first === undefined ? "" : ` ${shown(`${first.code}: ${first.message}`)}`;
  } catch {
    return "";
  }
}
