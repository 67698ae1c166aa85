/**
 * A CRI client for tests and benchmarks, over any runtime's unix socket.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type CallOptions, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { ImageServiceDefinition, RuntimeServiceDefinition } from "../../src/proto/mod.ts";

interface Codec {
  create(base?: never): unknown;
  encode(message: never): { finish(): Uint8Array };
  decode(input: Uint8Array): unknown;
}

type Definition = typeof RuntimeServiceDefinition | typeof ImageServiceDefinition;

type RequestOf<M> = M extends { readonly requestType: { create(base?: infer B): unknown } } ? B
  : never;
type ResponseOf<M> = M extends { readonly responseType: { decode(...args: never[]): infer T } } ? T
  : never;

/** The unary methods of a service, as functions from a partial request to the response. */
type Calls<D extends Definition> = {
  readonly [Name in keyof D["methods"]]: (
    request?: RequestOf<D["methods"][Name]>,
    options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ) => Promise<ResponseOf<D["methods"][Name]>>;
};

export interface CriClient extends Disposable {
  readonly runtime: Calls<typeof RuntimeServiceDefinition>;
  readonly images: Calls<typeof ImageServiceDefinition>;
}

/** Connects lazily; a call fails when nobody answers. Messages up to 64 MiB. */
export function connectCri(socket: string): CriClient {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 64 << 20,
    "grpc.max_send_message_length": 64 << 20,
    "grpc.initial_reconnect_backoff_ms": 20,
    "grpc.max_reconnect_backoff_ms": 100,
  });
  return {
    runtime: callsOf(client, RuntimeServiceDefinition),
    images: callsOf(client, ImageServiceDefinition),
    [Symbol.dispose]: () => client.close(),
  };
}

function callsOf<D extends Definition>(client: Client, definition: D): Calls<D> {
  const calls: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(definition.methods)) {
    const requestType = method.requestType as unknown as Codec;
    const responseType = method.responseType as unknown as Codec;
    const path = `/${definition.fullName}/${method.name}`;
    calls[name] = (
      request: unknown = {},
      options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
    ) =>
      new Promise((resolve, reject) => {
        const callOptions: CallOptions = { deadline: Date.now() + (options.timeoutMs ?? 120_000) };
        const call = client.makeUnaryRequest(
          path,
          (message: unknown) => Buffer.from(requestType.encode(message as never).finish()),
          (bytes: Uint8Array) => responseType.decode(bytes),
          requestType.create(request as never),
          callOptions,
          (error: ServiceError | null, response: unknown) =>
            error ? reject(error) : resolve(response),
        );
        options.signal?.addEventListener("abort", () => call.cancel(), { once: true });
      });
  }
  return calls as Calls<D>;
}
