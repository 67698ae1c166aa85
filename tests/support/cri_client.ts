/**
 * A CRI client for tests and benchmarks, over any runtime's unix socket.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type CallOptions, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { ImageServiceDefinition, RuntimeServiceDefinition } from "../../src/proto/mod.ts";

interface Codec {
  fromPartial(base: never): unknown;
  encode(message: never): { finish(): Uint8Array };
  decode(input: Uint8Array): unknown;
}

type Definition = typeof RuntimeServiceDefinition | typeof ImageServiceDefinition;

type MessageOf<C> = C extends { decode(...args: never[]): infer T } ? T : never;

type Partially<T> = T extends bigint | Uint8Array | string | number | boolean | undefined ? T
  : T extends readonly (infer U)[] ? readonly Partially<U>[]
  : { readonly [K in keyof T]?: Partially<T[K]> };

type MethodOf<D extends Definition, Name> = Name extends keyof D["methods"]
  ? D["methods"][Name] extends { requestType: unknown; responseType: unknown } ? D["methods"][Name]
  : never
  : never;

/** The unary methods of a service, as functions from a partial request to the response. */
type Calls<D extends Definition> = {
  readonly [Name in keyof D["methods"]]: (
    request?: Partially<MessageOf<MethodOf<D, Name>["requestType"]>>,
    options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ) => Promise<MessageOf<MethodOf<D, Name>["responseType"]>>;
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
          requestType.fromPartial(request as never),
          callOptions,
          (error: ServiceError | null, response: unknown) =>
            error ? reject(error) : resolve(response),
        );
        options.signal?.addEventListener("abort", () => call.cancel(), { once: true });
      });
  }
  return calls as Calls<D>;
}
