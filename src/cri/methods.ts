/**
 * What a handler is, and the tables of them that a server serves.
 *
 * @module
 */
import type { Logger } from "../telemetry/mod.ts";
import type { ImageServiceDefinition, RuntimeServiceDefinition } from "../proto/mod.ts";
import { UnimplementedError } from "../errors/mod.ts";
import type { EncodedList } from "./encoded_list.ts";

/** What a handler knows of the call beside its request. */
export interface CallContext {
  /** Fires when the client's deadline has passed or the client has gone. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Answers a request, with a message or with one whose entries are encoded already. */
export type UnaryHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => Promise<Response | EncodedList> | Response | EncodedList;

/** Answers a request with any number of messages. */
export type StreamHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => AsyncIterable<Response | EncodedList> | Iterable<Response | EncodedList>;

interface Codec<T> {
  decode(input: never): T;
}

interface MethodDefinition {
  readonly requestType: Codec<unknown>;
  readonly responseType: Codec<unknown>;
  readonly responseStream: boolean;
}

type MessageOf<C> = C extends { decode(input: never, length?: number): infer T } ? T : never;

/** One handler for each method of a generated service definition; none can be forgotten. */
export type Methods<Service extends { readonly methods: Record<string, MethodDefinition> }> = {
  readonly [Name in keyof Service["methods"]]: Service["methods"][Name] extends {
    readonly responseStream: true;
  } ? StreamHandler<
      MessageOf<Service["methods"][Name]["requestType"]>,
      MessageOf<Service["methods"][Name]["responseType"]>
    >
    : UnaryHandler<
      MessageOf<Service["methods"][Name]["requestType"]>,
      MessageOf<Service["methods"][Name]["responseType"]>
    >;
};

export type RuntimeMethods = Methods<RuntimeServiceDefinition>;
export type ImageMethods = Methods<ImageServiceDefinition>;

/** A handler for a method that comes later: says so, and what to use until then. */
export function unimplemented(method: string, remedy: string): () => never {
  return () => {
    throw new UnimplementedError(`${method} is not implemented yet`, { field: method, remedy });
  };
}
