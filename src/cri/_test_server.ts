/**
 * A CRI server in a temporary directory, with a domain in memory, and a client for it.
 *
 * @module
 */
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import type { ContainerService, EventService, SandboxService } from "../pod/service.ts";
import { newContainerId, newSandboxId, SystemClock } from "../model/mod.ts";
import type { Images } from "../image/images.ts";
import { NotFoundError } from "../errors/mod.ts";
import {
  type DeepPartial,
  ImageServiceDefinition,
  type MessageFns,
  PodSandbox,
  type PodSandboxConfig,
  RuntimeServiceDefinition,
} from "../proto/mod.ts";
import { createLinuxKernel } from "../sys/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { imageMethods } from "./image_service.ts";
import type { NodeFacts } from "./node_status.ts";
import { runtimeMethods } from "./runtime_service.ts";
import { CriServer, type CriServerOptions } from "./server.ts";

/** Every entry replaces one of the domain in memory. */
export interface TestServerParts {
  readonly sandboxes?: Partial<SandboxService>;
  readonly containers?: Partial<ContainerService>;
  readonly images?: Partial<Images>;
  readonly events?: EventService;
  readonly options?: Partial<CriServerOptions>;
}

/** Listens in a directory of its own; disposing stops the server and removes the directory. */
export async function startTestServer(
  parts: TestServerParts = {},
): Promise<{ server: CriServer; path: string; directory: string } & AsyncDisposable> {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/run/cri.sock`;
  const server = await CriServer.listen({
    ...serverOptions(parts),
    listen: path,
    ...parts.options,
  });
  return {
    server,
    path,
    directory,
    async [Symbol.asyncDispose]() {
      await server.stop(0);
      await Deno.remove(directory, { recursive: true });
    },
  };
}

/** All but where to listen. */
export function serverOptions(parts: TestServerParts = {}): Omit<CriServerOptions, "listen"> {
  const missing = (): never => {
    throw new NotFoundError("There is no such thing in memory");
  };
  const kept = new Map<string, Uint8Array>();
  return {
    runtime: runtimeMethods({
      streaming: {
        service: { checkExec: missing, checkAttach: missing, checkPortForward: missing },
        urls: { exec: missing, attach: missing, portForward: missing },
      },
      sandboxes: {
        run({ config }) {
          const id = newSandboxId();
          kept.set(id, encodedSandbox(id, config));
          return Promise.resolve(id);
        },
        stop: () => Promise.resolve(),
        remove: (id) => Promise.resolve(void kept.delete(id)),
        status: missing,
        list: () => [...kept.values()],
        updateResources: missing,
        ...parts.sandboxes,
      },
      containers: {
        create: () => Promise.resolve(newContainerId()),
        start: missing,
        stop: () => Promise.resolve(),
        remove: () => Promise.resolve(),
        status: missing,
        list: () => [],
        execSync: missing,
        updateResources: missing,
        reopenLog: missing,
        ...parts.containers,
      },
      events: parts.events,
      node: TEST_NODE,
      podCidrs: { update: () => Promise.resolve() },
      version: "1.37.0-test",
    }),
    image: imageMethods({
      images: {
        all: () => [],
        find: () => undefined,
        pull: missing,
        load: missing,
        remove: () => Promise.resolve(),
        hold: missing,
        checkUse: missing,
        ...parts.images,
      },
      snapshots: {
        usage: () => {
          const usage = { mountpoint: "/var/lib", usedBytes: 1n, inodesUsed: 2n };
          return Promise.resolve({ images: usage, containers: usage });
        },
      },
      clock: new SystemClock(),
    }),
    http: { "/info": () => ({ body: '{"storage_driver":"overlay"}' }) },
    kernel: createLinuxKernel(),
    log: silentLogger,
    clock: new SystemClock(),
  };
}

export const TEST_NODE: NodeFacts = {
  runtimeObstacle: () => undefined,
  networkReadiness: () =>
    Promise.resolve({
      ready: false,
      reason: "NetworkPluginNotReady",
      message: "No network in /etc/cni/net.d",
    }),
  handlers: () => [
    { name: "runc", isDefault: true, recursiveReadOnlyMounts: false, userNamespaces: false },
    { name: "crun", isDefault: false, recursiveReadOnlyMounts: true, userNamespaces: false },
  ],
  cgroupDriver: () => "cgroupfs",
  features: () => ({
    supplementalGroupsPolicy: true,
    userNamespacesHostNetwork: false,
    mountOptions: false,
  }),
  configuration: () => ({ sandboxImage: "" }),
};

function encodedSandbox(
  id: string,
  { metadata, labels, annotations }: PodSandboxConfig,
): Uint8Array {
  return PodSandbox.encode(PodSandbox.fromPartial({ id, metadata, labels, annotations })).finish();
}

type RuntimeCalls = typeof RuntimeServiceDefinition["methods"];
type ImageCalls = typeof ImageServiceDefinition["methods"];
type Calls = RuntimeCalls & ImageCalls;
type RequestOf<M extends keyof Calls> = DeepPartial<ReturnType<Calls[M]["requestType"]["decode"]>>;
type ResponseOf<M extends keyof Calls> = ReturnType<Calls[M]["responseType"]["decode"]>;

/** A client with one connection of its own. */
export class TestClient implements Disposable {
  readonly #client: Client;

  constructor(path: string) {
    this.#client = new Client(`unix://${path}`, credentials.createInsecure(), {
      "grpc.max_send_message_length": -1,
      "grpc.max_receive_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.default_authority": "localhost",
    });
  }

  /** Calls by the generated method name. @throws {ServiceError} the status of the call */
  call<M extends keyof Calls>(
    method: M,
    request: RequestOf<M>,
    options: { readonly deadlineMs?: number } = {},
  ): Promise<ResponseOf<M>> {
    const { path, requestType, responseType } = definition(method);
    const bytes = requestType.encode(requestType.fromPartial(request)).finish();
    return this.raw(path, bytes, options)
      .then((answer) => responseType.decode(answer) as ResponseOf<M>);
  }

  /** Sends bytes as they are. */
  raw(
    path: string,
    bytes: Uint8Array,
    { deadlineMs = 60_000 }: { readonly deadlineMs?: number } = {},
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        asItIs,
        asItIs,
        bytes,
        { deadline: Date.now() + deadlineMs },
        (error: ServiceError | null, answer?: Uint8Array) => {
          if (error === null && answer !== undefined) resolve(answer);
          else reject(error);
        },
      );
    });
  }

  /** All messages of a stream. */
  async stream<M extends keyof Calls>(method: M, request: RequestOf<M>): Promise<ResponseOf<M>[]> {
    const { path, requestType, responseType } = definition(method);
    const bytes = requestType.encode(requestType.fromPartial(request)).finish();
    const call = this.#client.makeServerStreamRequest(path, asItIs, asItIs, bytes);
    const all: ResponseOf<M>[] = [];
    for await (const message of call) all.push(responseType.decode(message) as ResponseOf<M>);
    return all;
  }

  /** Closes the connection; the library sends GOAWAY. */
  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** The codecs of one method, whose messages {@link TestClient} types by the method's name. */
interface MethodCodecs {
  readonly path: string;
  readonly requestType: MessageFns<unknown>;
  readonly responseType: MessageFns<unknown>;
}

function definition(method: keyof Calls): MethodCodecs {
  for (const { fullName, methods } of [RuntimeServiceDefinition, ImageServiceDefinition]) {
    for (const [name, found] of Object.entries(methods)) {
      if (name === method) return { ...found, path: `/${fullName}/${found.name}` } as MethodCodecs;
    }
  }
  throw new TypeError(`There is no method ${method}`);
}

function asItIs(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes);
}
