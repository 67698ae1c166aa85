/**
 * A registry that misbehaves: stands before a real one and answers in its place when told to. It can
 * also want Bearer tokens, which it gives itself.
 *
 * @module
 */
import type { TestRegistry } from "./registry.ts";

/** What to do with a request; undefined passes it on. */
export type Fault = (
  request: Request,
  /** How often this path was asked before. */
  before: number,
) => Response | Promise<Response | undefined> | undefined;

export interface FaultyRegistryOptions {
  readonly fault?: Fault;
  /** Wants tokens, which are given for these credentials, or to everybody. */
  readonly bearer?: {
    readonly credentials?: { readonly username: string; readonly password: string };
    readonly expiresSeconds?: number;
  };
  /** Speaks HTTPS with these, in PEM. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export class FaultyRegistry implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #behind: TestRegistry;
  readonly #options: FaultyRegistryOptions;
  readonly #asked = new Map<string, number>();
  readonly #tokens = new Set<string>();
  /** Every request as `GET /path`, in order. */
  readonly requests: string[] = [];
  /** Path and `Range` of each request that had one. */
  readonly ranges: [string, string][] = [];
  /** `Authorization` of each request, or null. */
  readonly authorizations: (string | null)[] = [];
  /** The next requests with a token are answered as if it had ended. */
  revoked = 0;
  tokensGiven = 0;

  constructor(behind: TestRegistry, options: FaultyRegistryOptions = {}) {
    this.#behind = behind;
    this.#options = options;
    this.#server = Deno.serve(
      {
        hostname: "127.0.0.1",
        port: 0,
        onListen() {},
        onError: () => new Response("", { status: 500 }),
        ...options.tls,
      },
      (request) => this.#answer(request),
    );
  }

  get address(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  /** How often a path that contains the text was asked. */
  count(text: string): number {
    return this.requests.filter((request) => request.includes(text)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    this.requests.push(`${request.method} ${pathname}`);
    this.authorizations.push(request.headers.get("authorization"));
    const range = request.headers.get("range");
    if (range !== null) this.ranges.push([pathname, range]);
    if (pathname === "/token") return this.#token(request);
    const before = this.#asked.get(pathname) ?? 0;
    this.#asked.set(pathname, before + 1);
    const refused = this.#unauthorized(request);
    if (refused !== undefined) return refused;
    const faulty = await this.#options.fault?.(request, before);
    if (faulty !== undefined) return faulty;
    const headers = new Headers(request.headers);
    headers.delete("host");
    headers.delete("authorization");
    return await fetch(`http://${this.#behind.address}${pathname}`, {
      headers,
      redirect: "manual",
    });
  }

  #unauthorized(request: Request): Response | undefined {
    if (this.#options.bearer === undefined) return undefined;
    const token = request.headers.get("authorization")?.replace("Bearer ", "") ?? "";
    if (this.#tokens.has(token)) {
      if (this.revoked === 0) return undefined;
      this.revoked--;
      this.#tokens.delete(token);
    }
    const scheme = this.#options.tls === undefined ? "http" : "https";
    return new Response('{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}', {
      status: 401,
      headers: {
        "www-authenticate": `Bearer realm="${scheme}://${this.address}/token",service="test"`,
      },
    });
  }

  #token(request: Request): Response {
    const bearer = this.#options.bearer!;
    if (bearer.credentials !== undefined) {
      const { username, password } = bearer.credentials;
      if (request.headers.get("authorization") !== `Basic ${btoa(`${username}:${password}`)}`) {
        return new Response("{}", { status: 401 });
      }
    }
    const { searchParams } = new URL(request.url);
    if (!/^repository:.+:pull$/.test(searchParams.get("scope") ?? "")) {
      return new Response("{}", { status: 400 });
    }
    this.tokensGiven++;
    const token = `token-${this.tokensGiven}`;
    this.#tokens.add(token);
    return Response.json({ token, expires_in: bearer.expiresSeconds ?? 300 });
  }
}

/** A body that ends with a broken connection after some bytes. */
export function cutOff(bytes: Uint8Array, after: number): Response {
  let sent = false;
  const body = new ReadableStream({
    pull(controller) {
      if (sent) return controller.error(new Error("cut"));
      sent = true;
      controller.enqueue(bytes.subarray(0, after));
    },
  });
  return new Response(body, { headers: { "content-length": String(bytes.length) } });
}

/** A body of which nothing more comes after some bytes. */
export function stuck(bytes: Uint8Array, after: number): Response {
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(bytes.subarray(0, after)),
  });
  return new Response(body, { headers: { "content-length": String(bytes.length) } });
}

/** A body that never ends. */
export function endless(): Response {
  const chunk = new Uint8Array(64 << 10).fill(0x20);
  return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) }));
}
