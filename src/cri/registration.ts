/**
 * Registers the methods of a generated service definition with the gRPC library.
 *
 * @module
 */
import type { MethodDefinition, Server, UntypedHandleCall } from "@grpc/grpc-js";
import type { Buffer } from "node:buffer";
import type { Decoder } from "./decode_request.ts";
import type { Encoder } from "./encode_response.ts";
import type { Instrument } from "./instrument.ts";
import type { StreamHandler, UnaryHandler } from "./methods.ts";

/** A generated service definition, as far as serving needs it. */
interface GeneratedService {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, GeneratedMethod>>;
}

interface GeneratedMethod {
  readonly name: string;
  readonly requestType: Decoder<unknown>;
  readonly responseType: Encoder<unknown>;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** Of one service; `methods.ts` checks that each handler fits its method's messages. */
export type Handlers = Readonly<
  Record<string, UnaryHandler<never, unknown> | StreamHandler<never, unknown>>
>;

/** Makes `server` answer every method of `service` with its handler, through `instrument`. */
export function register(
  server: Server,
  service: GeneratedService,
  handlers: Handlers,
  instrument: Instrument,
): void {
  const definition: Record<string, MethodDefinition<Uint8Array, Uint8Array>> = {};
  const implementation: Record<string, UntypedHandleCall> = {};
  for (const [key, method] of Object.entries(service.methods)) {
    definition[key] = {
      path: `/${service.fullName}/${method.name}`,
      requestStream: method.requestStream,
      responseStream: method.responseStream,
      // The instrument decodes and encodes: it has limits, and errors in our words.
      requestSerialize: asItIs,
      requestDeserialize: asItIs,
      responseSerialize: asItIs,
      responseDeserialize: asItIs,
    };
    const handler = handlers[key];
    if (handler === undefined) {
      throw new TypeError(`${service.fullName}/${method.name} has no handler`);
    }
    implementation[key] = method.responseStream
      ? instrument.streaming(method, handler as StreamHandler<unknown, unknown>)
      : instrument.unary(method, handler as UnaryHandler<unknown, unknown>);
  }
  server.addService(definition, implementation);
}

/** Both sides hand over Buffers, whatever their declared type. */
function asItIs(bytes: Uint8Array): Buffer {
  return bytes as Buffer;
}
