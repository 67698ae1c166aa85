/**
 * The client of a running server: the CRI over gRPC, and HTTP/1.1 on the same socket for what the
 * CRI lacks.
 *
 * @module
 */
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { request as httpRequest } from "node:http";
import {
  AlreadyExistsError,
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  NotFoundError,
  PermissionDeniedError,
  ResourceExhaustedError,
  type SauropodError,
  UnauthenticatedError,
  UnavailableError,
  UnimplementedError,
} from "../errors/mod.ts";
import { serverMessage } from "./failure.ts";
import {
  type DeepPartial,
  ImageServiceDefinition,
  RuntimeServiceDefinition,
} from "../proto/mod.ts";

interface Codec {
  encode(message: never): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
  fromPartial(message: never): unknown;
}

interface Method {
  readonly name: string;
  readonly requestType: Codec;
  readonly responseType: Codec;
}

type MessageOf<C> = C extends { decode(input: never, length?: number): infer T } ? T : never;

/** The unary methods of a service as functions; what a request leaves out has its default. */
export type Calls<Service extends { readonly methods: Record<string, unknown> }> = {
  readonly [Name in keyof Service["methods"]]: Service["methods"][Name] extends {
    readonly requestType: infer Request;
    readonly responseType: infer Response;
  } ? (
      request: DeepPartial<MessageOf<Request>>,
      options?: CallOptions,
    ) => Promise<MessageOf<Response>>
    : never;
};

export interface CallOptions {
  /** Instead of the client's own limit; 0 for none. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface CriClient extends Disposable {
  readonly socket: string;
  readonly runtime: Calls<RuntimeServiceDefinition>;
  readonly image: Calls<ImageServiceDefinition>;
  /**
   * An HTTP request whose answer comes line by line.
   *
   * @throws {SauropodError} the status is not 200: its body is the message
   */
  lines(request: HttpRequest): AsyncGenerator<string>;
}

export interface HttpRequest {
  readonly method: "GET" | "POST";
  /** With its query. */
  readonly path: string;
  readonly body?: ReadableStream<Uint8Array>;
  readonly signal?: AbortSignal;
}

export interface ConnectOptions {
  /** Absolute path of the socket. */
  readonly socket: string;
  /** For one call; 0 for no limit. */
  readonly timeoutMs: number;
}

/** Our own answers are at most this long: the server's send limit. */
const RECEIVE_LIMIT_BYTES = 84 * 1024 * 1024;
const LINE_LIMIT_CHARACTERS = 1 << 20;

/** Connects at the first call. */
export function connectTo({ socket, timeoutMs }: ConnectOptions): CriClient {
  const client = new Client(`unix://${socket}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": RECEIVE_LIMIT_BYTES,
    "grpc.max_send_message_length": -1,
    "grpc.enable_retries": 0,
    // The socket is there or it is not: waiting for a second attempt only delays the answer.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.default_authority": "localhost",
  });
  const caller: Caller = (path, { requestType, responseType }, partial, options = {}) =>
    new Promise((resolve, reject) => {
      const limit = options.timeoutMs ?? timeoutMs;
      const call = client.makeUnaryRequest(
        path,
        (message: unknown) => Buffer.from(requestType.encode(message as never).finish()),
        (bytes) => responseType.decode(bytes),
        requestType.fromPartial(partial as never),
        new Metadata(),
        limit === 0 ? {} : { deadline: Date.now() + limit },
        (error, response) => {
          if (error === null) resolve(response);
          else reject(fromServiceError(error, socket));
        },
      );
      options.signal?.addEventListener("abort", () => call.cancel(), { once: true });
    });
  return {
    socket,
    runtime: callsOf(RuntimeServiceDefinition, caller) as Calls<RuntimeServiceDefinition>,
    image: callsOf(ImageServiceDefinition, caller) as Calls<ImageServiceDefinition>,
    lines: (request) => lines(socket, request),
    [Symbol.dispose]: () => client.close(),
  };
}

type Caller = (
  path: string,
  method: Method,
  request: unknown,
  options?: CallOptions,
) => Promise<unknown>;

function callsOf(
  service: { readonly fullName: string; readonly methods: Readonly<Record<string, unknown>> },
  caller: Caller,
): unknown {
  return Object.fromEntries(
    Object.entries(service.methods).map(([name, definition]) => {
      const method = definition as Method;
      const path = `/${service.fullName}/${method.name}`;
      return [
        name,
        (request: unknown, options?: CallOptions) => caller(path, method, request, options),
      ];
    }),
  );
}

/** The domain's error for a gRPC status, so that commands speak one language. */
export function fromServiceError(error: ServiceError, socket: string): SauropodError {
  const [message, { remedy }] = serverMessage(error.details);
  const details = { cause: error, ...(remedy === undefined ? {} : { remedy }) };
  switch (error.code) {
    case status.UNAVAILABLE:
      return /No connection established|ENOENT|ECONNREFUSED|connect/i.test(message)
        ? notRunning(socket, error)
        : new UnavailableError(message, details);
    case status.INVALID_ARGUMENT:
      return new InvalidArgumentError(message, details);
    case status.NOT_FOUND:
      return new NotFoundError(message, details);
    case status.ALREADY_EXISTS:
      return new AlreadyExistsError(message, details);
    case status.FAILED_PRECONDITION:
      return new FailedPreconditionError(message, details);
    case status.RESOURCE_EXHAUSTED:
      return new ResourceExhaustedError(message, details);
    case status.PERMISSION_DENIED:
      return new PermissionDeniedError(message, details);
    case status.UNAUTHENTICATED:
      return new UnauthenticatedError(message, details);
    case status.CANCELLED:
      return new CancelledError("Interrupted", details);
    case status.DEADLINE_EXCEEDED:
      return new DeadlineExceededError(message, { ...details, remedy: "give --timeout more time" });
    case status.UNIMPLEMENTED:
      return new UnimplementedError(message, details);
    default:
      return new InternalError(message, details);
  }
}

export function notRunning(socket: string, cause: unknown): UnavailableError {
  return new UnavailableError(`No server answers on ${socket}`, {
    path: socket,
    remedy: "start it with sauropod serve, or name its socket with --socket",
    cause,
  });
}

type ErrorClass = new (message: string) => SauropodError;

const KIND_OF_STATUS: ReadonlyMap<number, ErrorClass> = new Map<number, ErrorClass>([
  [400, InvalidArgumentError],
  [404, NotFoundError],
  [405, UnimplementedError],
  [409, FailedPreconditionError],
  [501, UnimplementedError],
  [503, UnavailableError],
  [507, ResourceExhaustedError],
]);

async function* lines(socket: string, options: HttpRequest): AsyncGenerator<string> {
  const response = await respond(socket, options);
  const decoder = new TextDecoder();
  let rest = "";
  if (response.statusCode !== 200) {
    for await (const chunk of response) {
      if (rest.length < LINE_LIMIT_CHARACTERS) rest += decoder.decode(chunk, { stream: true });
    }
    const kind = KIND_OF_STATUS.get(response.statusCode ?? 0) ?? InternalError;
    throw new kind(rest.trim() || `The server answered with status ${response.statusCode}`);
  }
  for await (const chunk of response) {
    rest += decoder.decode(chunk, { stream: true });
    const parts = rest.split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
    if (rest.length > LINE_LIMIT_CHARACTERS) {
      throw new InternalError(`The server sent a line of over ${LINE_LIMIT_CHARACTERS} characters`);
    }
  }
  if (rest !== "") yield rest;
}

type HttpResponse = import("node:http").IncomingMessage;

function respond(socket: string, { method, path, body, signal }: HttpRequest) {
  return new Promise<HttpResponse>((resolve, reject) => {
    const request = httpRequest({
      socketPath: socket,
      method,
      path,
      headers: { host: "localhost", connection: "close" },
      ...(signal === undefined ? {} : { signal }),
    });
    request.once("response", resolve);
    request.once("error", (error: Error & { code?: string }) =>
      reject(
        error.code === "ENOENT" || error.code === "ECONNREFUSED"
          ? notRunning(socket, error)
          : new UnavailableError(`The connection to ${socket} broke: ${error.message}`, {
            cause: error,
          }),
      ));
    if (body === undefined) {
      request.end();
      return;
    }
    upload(body, request).catch((error) => request.destroy(error));
  });
}

/** Sends as fast as the server takes it. */
async function upload(
  body: ReadableStream<Uint8Array>,
  request: import("node:http").ClientRequest,
): Promise<void> {
  for await (const chunk of body) {
    if (request.destroyed) return;
    if (!request.write(chunk)) await new Promise<void>((resolve) => request.once("drain", resolve));
  }
  request.end();
}
