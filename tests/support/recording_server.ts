/**
 * An HTTP/1.1 server of bytes: it writes down every request and sends exactly the answer that it is told,
 * also one that breaks off or stands still at a certain byte.
 *
 * @module
 */

export interface RecordedRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Bytes of the body that are sent before the connection ends, although more were promised. */
  readonly cutAfter?: number;
  /** Bytes of the body that are sent before nothing more comes. */
  readonly hangAfter?: number;
}

export interface RecordingServerOptions {
  readonly hostname?: string;
  /** Speaks HTTPS with these, in PEM. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** A client began TLS where plain HTTP is spoken. */
  readonly onTlsHello?: () => void;
}

const MAX_HEAD_BYTES = 64 << 10;
const TLS_HANDSHAKE = 0x16;

export class RecordingServer implements AsyncDisposable {
  readonly #listener: Deno.Listener;
  readonly #options: RecordingServerOptions;
  readonly #answer: (request: RecordedRequest) => Answer | Promise<Answer>;
  readonly #connections = new Set<Deno.Conn>();
  readonly #work = new Set<Promise<void>>();
  readonly #accepting: Promise<void>;
  readonly requests: RecordedRequest[] = [];
  /** Bytes of bodies sent. */
  bodyBytes = 0;

  constructor(
    answer: (request: RecordedRequest) => Answer | Promise<Answer>,
    options: RecordingServerOptions = {},
  ) {
    const { hostname = "127.0.0.1", tls } = options;
    this.#answer = answer;
    this.#options = options;
    this.#listener = tls === undefined
      ? Deno.listen({ hostname, port: 0 })
      : Deno.listenTls({ hostname, port: 0, ...tls });
    this.#accepting = this.#accept();
  }

  get address(): string {
    const { hostname, port } = this.#listener.addr as Deno.NetAddr;
    return `${hostname}:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) closed(connection);
    await this.#accepting;
    await Promise.all(this.#work);
  }

  async #accept(): Promise<void> {
    while (true) {
      let connection: Deno.Conn;
      try {
        connection = await this.#listener.accept();
      } catch (error) {
        // The listener is closed at the end of the test; a failed handshake is the client's affair.
        if (error instanceof Deno.errors.BadResource) return;
        if (error instanceof Deno.errors.Interrupted) return;
        continue;
      }
      this.#connections.add(connection);
      const work = this.#serve(connection)
        .catch(() => {
          // The client left, or its handshake failed; what it asked before is written down.
        })
        .finally(() => {
          closed(connection);
          this.#connections.delete(connection);
          this.#work.delete(work);
        });
      this.#work.add(work);
    }
  }

  async #serve(connection: Deno.Conn): Promise<void> {
    const request = await readRequest(connection);
    if (request === "tls") return this.#options.onTlsHello?.();
    if (request === undefined) return;
    this.requests.push(request);
    const answer = await this.#answer(request);
    const body = typeof answer.body === "string"
      ? new TextEncoder().encode(answer.body)
      : answer.body ?? new Uint8Array();
    const head = Object.entries({
      "content-length": String(body.length),
      connection: "close",
      ...answer.headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    await write(connection, new TextEncoder().encode(`HTTP/1.1 ${answer.status} x\r\n${head}\r\n`));
    const part = body.subarray(0, answer.cutAfter ?? answer.hangAfter ?? body.length);
    await write(connection, part);
    this.bodyBytes += part.length;
    // Until the client, or the end of the test, closes the connection.
    if (answer.hangAfter !== undefined) await connection.read(new Uint8Array(1));
  }
}

async function write(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await connection.write(rest));
}

async function readRequest(connection: Deno.Conn): Promise<RecordedRequest | "tls" | undefined> {
  let bytes = new Uint8Array();
  const more = async (): Promise<boolean> => {
    const buffer = new Uint8Array(16 << 10);
    const count = await connection.read(buffer);
    if (count === null || bytes.length > MAX_HEAD_BYTES) return false;
    const joined = new Uint8Array(bytes.length + count);
    joined.set(bytes);
    joined.set(buffer.subarray(0, count), bytes.length);
    bytes = joined;
    return true;
  };
  let end = -1;
  while (end < 0) {
    if (!await more()) return undefined;
    if (bytes[0] === TLS_HANDSHAKE) return "tls";
    end = new TextDecoder("latin1").decode(bytes).indexOf("\r\n\r\n");
  }
  const [first, ...lines] = new TextDecoder("latin1").decode(bytes.subarray(0, end)).split("\r\n");
  const [method = "", path = ""] = first!.split(" ");
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
  const length = Number(headers.get("content-length") ?? 0);
  while (bytes.length < end + 4 + length) if (!await more()) return undefined;
  const body = new TextDecoder().decode(bytes.subarray(end + 4, end + 4 + length));
  return { method, path, headers, body };
}

function closed(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It is closed already.
  }
}
