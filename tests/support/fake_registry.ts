/**
 * A registry that has every repository and tag, each with the same image, and writes down who asked for
 * what with which credential. What it does otherwise is set per test.
 *
 * @module
 */
import type { TestImage } from "../integration/test_images.ts";
import { type Answer, type RecordedRequest, RecordingServer } from "./recording_server.ts";

export interface Behaviour {
  /** How it wants to be authenticated. */
  readonly auth?: "basic" | "bearer";
  /** `user:password`; tokens are given to everybody without. */
  readonly user?: string;
  /** Refresh token that its token service knows. */
  readonly refreshToken?: string;
  /** Answers in place of the ordinary one, by the kind of request, in their order. */
  readonly first?: Partial<Record<RequestKind, readonly Answer[]>>;
  /** Answer to every request of a kind. */
  readonly always?: Partial<Record<RequestKind, Answer>>;
}

export type RequestKind = "ping" | "token" | "manifest" | "config" | "layer";

export class FakeRegistry implements AsyncDisposable {
  readonly #server: RecordingServer;
  readonly #label: string;
  readonly #image: TestImage;
  readonly #log: string[];
  #behaviour: Behaviour = {};
  readonly #answered = new Map<RequestKind, number>();
  #tokens = 0;

  /** @param log where requests of all registries of a test go, in the order of their arrival */
  constructor(label: string, image: TestImage, log: string[]) {
    this.#label = label;
    this.#image = image;
    this.#log = log;
    this.#server = new RecordingServer((request) => this.#answer(request), {
      onTlsHello: () => void log.push(`${label} tls`),
    });
  }

  get address(): string {
    return this.#server.address;
  }

  behave(behaviour: Behaviour): void {
    this.#behaviour = behaviour;
    this.#answered.clear();
    this.#tokens = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  #answer(request: RecordedRequest): Answer {
    const kind = this.#kind(request.path);
    this.#log.push(`${this.#label} ${this.#line(request)}`);
    const { auth, first, always } = this.#behaviour;
    const count = this.#answered.get(kind) ?? 0;
    this.#answered.set(kind, count + 1);
    const special = first?.[kind]?.[count] ?? always?.[kind];
    if (special !== undefined) return special;
    if (kind === "token") return this.#token(request);
    if (auth !== undefined && !this.#known(request)) {
      const challenge = auth === "basic"
        ? `Basic realm="test"`
        : `Bearer realm="http://${this.address}/token",service="test"`;
      return { status: 401, headers: { "www-authenticate": challenge }, body: "{}" };
    }
    return this.#content(kind);
  }

  #content(kind: RequestKind): Answer {
    const { manifest, config, layers } = this.#image;
    switch (kind) {
      case "manifest":
        return {
          status: 200,
          headers: { "content-type": manifest.mediaType, "docker-content-digest": manifest.digest },
          body: manifest.bytes,
        };
      case "config":
        return { status: 200, body: config.bytes };
      case "layer":
        return { status: 200, body: layers[0]!.bytes };
      default:
        return { status: 200, body: "{}" };
    }
  }

  #known({ headers }: RecordedRequest): boolean {
    const given = headers.get("authorization") ?? "";
    const { auth, user } = this.#behaviour;
    return auth === "basic"
      ? given === `Basic ${btoa(user ?? ":")}`
      : given === "Bearer given" || given === `Bearer token-${this.#tokens}`;
  }

  #token({ headers, body, method }: RecordedRequest): Answer {
    const { user, refreshToken } = this.#behaviour;
    const form = new URLSearchParams(body);
    const allowed = method === "POST"
      ? refreshToken !== undefined && form.get("refresh_token") === refreshToken &&
        form.get("grant_type") === "refresh_token"
      : user === undefined || headers.get("authorization") === `Basic ${btoa(user)}`;
    if (!allowed) return { status: 401, body: "{}" };
    return {
      status: 200,
      body: JSON.stringify({ access_token: `token-${++this.#tokens}`, expires_in: 300 }),
    };
  }

  #kind(path: string): RequestKind {
    if (path.startsWith("/token")) return "token";
    if (path === "/v2/") return "ping";
    if (path.includes("/manifests/")) return "manifest";
    return path.endsWith(this.#image.config.digest) ? "config" : "layer";
  }

  /** `GET /v2/app/manifests/v1 basic user`, digests by their names. */
  #line({ method, path, headers, body }: RecordedRequest): string {
    const { manifest, config, layers } = this.#image;
    const short = path.replace(manifest.digest, "<manifest>").replace(config.digest, "<config>")
      .replace(layers[0]!.digest, "<layer>").replaceAll("%3A", ":").replaceAll("%2F", "/");
    const verb = method === "GET" ? "" : `${method} `;
    const form = body === "" ? "" : ` ${decodeURIComponent(body).replaceAll("+", " ")}`;
    const range = headers.has("range") ? ` ${headers.get("range")}` : "";
    return `${verb}${short}${range}${form} ${who(headers.get("authorization"))}`;
  }
}

/** Who an authorization says to be; secrets are part of it, so that the wrong one is seen. */
function who(authorization: string | undefined): string {
  const [scheme, value = ""] = (authorization ?? "nobody").split(" ");
  return scheme === "Basic" ? atob(value) : value === "" ? scheme! : value;
}
