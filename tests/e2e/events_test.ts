import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Client, credentials } from "@grpc/grpc-js";
import {
  ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  NamespaceMode,
  PodSandboxState,
  RuntimeServiceDefinition,
} from "../../src/proto/mod.ts";
import { WindowedClient } from "../support/windowed_client.ts";
import {
  type BenchContainer,
  eventually,
  onWorkbench,
  type Workbench,
} from "../support/workbench.ts";

const PATH = `/${RuntimeServiceDefinition.fullName}/GetContainerEvents`;

/** What HTTP/2 gives a reader that says nothing. */
const WINDOW_BYTES = 65_535;

const { CREATED, STARTED, STOPPED, DELETED } = {
  CREATED: ContainerEventType.CONTAINER_CREATED_EVENT,
  STARTED: ContainerEventType.CONTAINER_STARTED_EVENT,
  STOPPED: ContainerEventType.CONTAINER_STOPPED_EVENT,
  DELETED: ContainerEventType.CONTAINER_DELETED_EVENT,
};

/** A reader with a connection of its own; what it has read is in `events`. */
class Reader implements Disposable {
  readonly events: ContainerEventResponse[] = [];
  readonly #client: Client;
  readonly #call;
  readonly #firstEnd = Promise.withResolvers<void>();

  private constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    this.#call = this.#client.makeServerStreamRequest(
      PATH,
      (value: Buffer) => value,
      (bytes: Buffer) => ContainerEventResponse.decode(bytes),
      Buffer.alloc(0),
    );
    this.#call.on("error", () => {});
  }

  /** Connected: no event is missed any more. */
  static async connect(socket: string): Promise<Reader> {
    const reader = new Reader(socket);
    await new Promise((resolve, reject) => {
      reader.#call.once("metadata", resolve);
      reader.#call.once("error", reject);
    });
    return reader;
  }

  read(): this {
    this.#call.on("data", (event: ContainerEventResponse) => {
      this.events.push(event);
      if (event.containerEventType === STOPPED) this.#firstEnd.resolve();
    });
    return this;
  }

  get firstEnd(): Promise<void> {
    return this.#firstEnd.promise;
  }

  of(id: string): ContainerEventType[] {
    return this.events.filter(({ containerId }) => containerId === id)
      .map((event) => event.containerEventType);
  }

  async has(id: string, ...types: ContainerEventType[]): Promise<void> {
    await eventually(
      `events ${types} of ${id} are told`,
      () => this.of(id).length >= types.length || undefined,
    );
    assert.deepEqual(this.of(id), types);
  }

  [Symbol.dispose](): void {
    this.#call.cancel();
    this.#client.close();
  }
}

const test = onWorkbench({ start: { env: { ENABLE_POD_EVENTS: "true" } } });

/** On the node's network, which is quick to make. */
function hostPod(bench: Workbench, pid = NamespaceMode.CONTAINER) {
  return bench.sandbox({
    pod: {
      linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE, pid } } },
    },
  });
}

test("the life of a pod and its container is told in order, with the statuses of the moment", async (bench) => {
  using reader = (await Reader.connect(bench.node.socket)).read();
  using other = (await Reader.connect(bench.node.socket)).read();
  const sandbox = await hostPod(bench);
  const container = await bench.created(sandbox, { script: "exit 3" });
  await bench.runtime.startContainer({ containerId: container.id });
  await reader.has(container.id, CREATED, STARTED, STOPPED);
  const { containersStatuses, timestamp } = await bench.runtime.podSandboxStatus({
    podSandboxId: sandbox.id,
  });
  assert.equal(timestamp, 0n, "else a kubelet 1.37 starts init containers for ever");
  assert.deepEqual(containersStatuses.map(({ id, exitCode }) => [id, exitCode]), [
    [container.id, 3],
  ]);
  await bench.runtime.removePodSandbox({ podSandboxId: sandbox.id });
  for (const { events } of [reader, other]) {
    await eventually("both are told of the removal", () => events.length >= 8 || undefined);
    assert.deepEqual(
      events.map(({ containerId, containerEventType }) => [containerId, containerEventType]),
      [
        [sandbox.id, CREATED],
        [sandbox.id, STARTED],
        [container.id, CREATED],
        [container.id, STARTED],
        [container.id, STOPPED],
        [sandbox.id, STOPPED],
        [container.id, DELETED],
        [sandbox.id, DELETED],
      ],
    );
    const [, started, , running, ended] = events;
    assert.equal(started?.podSandboxStatus?.state, PodSandboxState.SANDBOX_READY);
    assert.equal(running?.containersStatuses[0]?.state, ContainerState.CONTAINER_RUNNING);
    assert.equal(ended?.containersStatuses[0]?.exitCode, 3);
    const times = events.map(({ createdAt }) => createdAt);
    assert.ok(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0n)));
  }
});

test("a pod whose PID namespace ends is told as stopped at once, and not again when it is stopped", async (bench) => {
  using reader = (await Reader.connect(bench.node.socket)).read();
  const { id } = await hostPod(bench, NamespaceMode.POD);
  const { info } = await bench.runtime.podSandboxStatus({ podSandboxId: id, verbose: true });
  const { pid } = JSON.parse(info["info"] ?? "{}") as { pid: number };
  assert.ok(pid > 1);
  Deno.kill(pid, "SIGKILL");
  await reader.has(id, CREATED, STARTED, STOPPED);
  await bench.runtime.stopPodSandbox({ podSandboxId: id });
  await bench.runtime.removePodSandbox({ podSandboxId: id });
  await reader.has(id, CREATED, STARTED, STOPPED, DELETED);
});

/**
 * Connects, asks for the status, reads a few events and goes away, again and again until it has heard
 * of every end. The storm begins when it has connected. Returns how often it did.
 */
async function readInPieces(
  bench: Workbench,
  podSandboxId: string,
  ids: ReadonlySet<string>,
  storm: () => Promise<void>,
): Promise<number> {
  const ended = new Set<string>();
  for (let connections = 1;; connections++) {
    using reader = (await Reader.connect(bench.node.socket)).read();
    const { containersStatuses } = await bench.runtime.podSandboxStatus({ podSandboxId });
    for (const { id, state } of containersStatuses) {
      if (state === ContainerState.CONTAINER_EXITED) ended.add(id);
    }
    if (ended.size === ids.size) return connections;
    if (connections === 1) await storm();
    // The stream began before the status, so the end of what runs there is yet to come.
    await reader.firstEnd;
    for (const { containerId, containerEventType } of reader.events) {
      if (containerEventType === STOPPED) ended.add(containerId);
    }
    if (ended.size === ids.size) return connections;
  }
}

/** Containers of the storm; 500 take some minutes. */
const STORM = Number(Deno.env.get("SAUROPOD_STORM_EXITS") ?? 40);

test("in a storm of exits every end reaches a reader that stalls, and one that comes back has the rest in the status", async (bench) => {
  using stalled = await WindowedClient.connect(bench.node.socket);
  const stream = stalled.call(PATH);
  const sandbox = await hostPod(bench);
  const go = `${bench.node.directory}/go`;
  await Deno.mkdir(go);
  await new Deno.Command("mkfifo", { args: [`${go}/pipe`] }).output();
  const containers: BenchContainer[] = [];
  for (let index = 0; index < STORM; index++) {
    const container = await bench.created(sandbox, {
      // The pipe opens for all of them at once.
      script: `read line < /go/pipe; exit ${1 + index % 100}`,
      container: {
        metadata: { name: `storm${index}`, attempt: 0 },
        mounts: [{ hostPath: go, containerPath: "/go" }],
      },
    });
    containers.push(container);
  }
  for (const { id } of containers) await bench.runtime.startContainer({ containerId: id });
  const ids = new Set(containers.map(({ id }) => id));

  const connections = await readInPieces(bench, sandbox.id, ids, async () => {
    using pipe = await Deno.open(`${go}/pipe`, { write: true });
    await pipe.write(new Uint8Array(STORM).fill(10));
  });
  assert.ok(connections > 1, "it was away in the middle of it");
  assert.ok(stalled.received(stream) <= WINDOW_BYTES);

  // The stalled reader wakes up after the storm, and takes a message at a time.
  const ends = new Map<string, ContainerEventResponse[]>();
  await eventually("the stalled reader is told of every end", () => {
    for (const message of stalled.takeMessages(stream)) {
      const event = ContainerEventResponse.decode(message);
      if (event.containerEventType !== STOPPED || !ids.has(event.containerId)) continue;
      ends.set(event.containerId, [...ends.get(event.containerId) ?? [], event]);
    }
    stalled.grant(stream, 1 << 20);
    return ends.size === ids.size || undefined;
  }, 300_000);
  for (const [index, { id }] of containers.entries()) {
    assert.equal(ends.get(id)?.length, 1, "an end is told once");
    const status = ends.get(id)?.[0]?.containersStatuses.find((status) => status.id === id);
    assert.equal(status?.exitCode, 1 + index % 100);
  }
});

test("a reader that goes away is let go of", async (bench) => {
  const readers = await Promise.all(
    Array.from({ length: 5 }, () => Reader.connect(bench.node.socket)),
  );
  const gone = async () =>
    (await Deno.readTextFile(bench.server.logPath)).split('msg="The reader of events has gone"')
      .length;
  const before = await gone();
  for (const reader of readers) reader[Symbol.dispose]();
  await eventually("all are let go of", async () => await gone() === before + 5 || undefined);
});
