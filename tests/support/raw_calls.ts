/**
 * Calls of any method, whatever its request is worth, and the code that each is answered with.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Client, credentials, type ServiceError, status as Code } from "@grpc/grpc-js";
import { ImageServiceDefinition, RuntimeServiceDefinition } from "../../src/proto/mod.ts";

export type MethodName =
  | keyof typeof RuntimeServiceDefinition["methods"]
  | keyof typeof ImageServiceDefinition["methods"];
export type CodeName = keyof typeof Code;

/** Encodes and decodes a request of one method. */
export interface RequestCodec {
  fromPartial(base: unknown): unknown;
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}

/** Every method of both services. */
export const METHODS: readonly MethodName[] = [RuntimeServiceDefinition, ImageServiceDefinition]
  .flatMap(({ methods }) => Object.keys(methods) as MethodName[]);

export function definitionOf(method: MethodName): { path: string; request: RequestCodec } {
  for (const service of [RuntimeServiceDefinition, ImageServiceDefinition]) {
    for (const [key, { name, requestType }] of Object.entries(service.methods)) {
      if (key !== method) continue;
      const request = requestType as unknown as RequestCodec;
      return { path: `/${service.fullName}/${name}`, request };
    }
  }
  throw new TypeError(`There is no method ${method}`);
}

export interface RawCallOptions {
  /** Gives up a millisecond after the call was sent. */
  readonly cancel?: boolean;
  readonly timeoutMs?: number;
  /** Gets every message of the answer, as it came. */
  readonly onMessage?: (bytes: Uint8Array) => void;
}

export class RawCalls implements Disposable {
  readonly #client: Client;
  /** What the call that was answered last was told. */
  last = "";

  constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": 64 << 20,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  make(
    method: MethodName,
    request: Readonly<Record<string, unknown>>,
    options: RawCallOptions = {},
  ): Promise<CodeName> {
    const codec = definitionOf(method).request;
    return this.send(method, codec.encode(codec.fromPartial(request)).finish(), options);
  }

  /** Sends bytes as they are; the messages of a stream are read to its end. Never UNKNOWN or INTERNAL. */
  async send(
    method: MethodName,
    bytes: Uint8Array,
    { cancel = false, timeoutMs = 120_000, onMessage = () => {} }: RawCallOptions = {},
  ): Promise<CodeName> {
    const same = (value: Buffer) => value;
    const { path } = definitionOf(method);
    // One answer is a stream of one message.
    const call = this.#client.makeServerStreamRequest(path, same, same, Buffer.from(bytes), {
      deadline: Date.now() + timeoutMs,
    });
    call.on("data", onMessage);
    let told = "";
    const answered = new Promise<CodeName>((resolve) => {
      call.on("error", (error: ServiceError) => {
        told = error.message;
        resolve(Code[error.code] as CodeName);
      });
      call.on("status", ({ code, details }) => {
        told = `${Code[code]}: ${details}`;
        resolve(Code[code] as CodeName);
      });
    });
    if (cancel) setTimeout(() => call.cancel(), 1);
    const code = await answered;
    this.last = told;
    assert.ok(code !== "UNKNOWN" && code !== "INTERNAL", `${method}: ${told}`);
    return code;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
