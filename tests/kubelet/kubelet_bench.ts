/**
 * A registry, a runtime and a kubelet that belong together, and short ways to ask for pods.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startRegistry, type TestRegistry } from "../integration/registry.ts";
import { busyboxImage, type TestImage } from "../integration/test_images.ts";
import { type Container, type PodSandbox, PodSandboxState } from "../../src/proto/mod.ts";
import type { CriClient } from "../support/cri_client.ts";
import { type RunningServer, type ServerStart, TestNode } from "../support/test_node.ts";
import { eventually } from "../support/workbench.ts";
import { type ContainerStatus, Kubelet, NODE_NAME, type PodStatus } from "./kubelet.ts";
import { kubeletBinary } from "./kubelet_build.ts";

/** What a pod's manifest has under `spec`, as far as tests say it. */
export interface PodSpec {
  readonly containers: readonly ContainerSpec[];
  readonly initContainers?: readonly ContainerSpec[];
  readonly [field: string]: unknown;
}

export interface ContainerSpec {
  readonly name?: string;
  readonly image?: string;
  /** Shell text. */
  readonly script?: string;
  readonly [field: string]: unknown;
}

/** Says hello, waits, and ends at once when it is asked to. */
export const WAITING = 'trap "exit 0" TERM; echo hello; while :; do sleep 1000 & wait $!; done';

/** Ten times and more of what anything takes here: the kubelet has periods of up to a minute. */
const GUARD_MS = 300_000;

export class KubeletBench implements AsyncDisposable {
  readonly registry: TestRegistry;
  readonly node: TestNode;
  readonly kubelet: Kubelet;
  readonly #start: ServerStart;
  #server: RunningServer;

  private constructor(
    registry: TestRegistry,
    node: TestNode,
    kubelet: Kubelet,
    start: ServerStart,
    server: RunningServer,
  ) {
    this.registry = registry;
    this.node = node;
    this.kubelet = kubelet;
    this.#start = start;
    this.#server = server;
  }

  /** @param start of the server, each time */
  static async make(
    settings: Record<string, unknown>,
    start: ServerStart = {},
  ): Promise<KubeletBench> {
    const binary = await kubeletBinary();
    await using undo = new AsyncDisposableStack();
    const registry = undo.use(await startRegistry());
    await registry.push("test/busybox", "1", busyboxImage());
    const node = undo.use(await TestNode.make({ insecureRegistries: [registry.address] }));
    const kubelet = undo.use(await Kubelet.make(binary, node, settings));
    const server = await node.start(start);
    await kubelet.start();
    undo.move();
    return new KubeletBench(registry, node, kubelet, start, server);
  }

  get client(): CriClient {
    return this.#server.client;
  }

  image(name = "busybox"): string {
    return `${this.registry.address}/test/${name}:1`;
  }

  async push(name: string, image: TestImage): Promise<void> {
    await this.registry.push(`test/${name}`, "1", image);
  }

  /** kill -9 of the runtime, or SIGTERM, and a new one over the same state. */
  async restartRuntime(how: "kill" | "stop", meanwhile?: () => Promise<void>): Promise<void> {
    await this.#server[how]();
    await meanwhile?.();
    this.#server = await this.node.start(this.#start);
  }

  async runtimeLog(): Promise<string> {
    return await Deno.readTextFile(this.#server.logPath);
  }

  /** Writes the manifest of a pod. */
  async apply(name: string, spec: PodSpec, metadata: Record<string, unknown> = {}): Promise<void> {
    await this.kubelet.apply(name, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", ...metadata },
      spec: {
        terminationGracePeriodSeconds: 2,
        automountServiceAccountToken: false,
        ...spec,
        containers: spec.containers.map((part) => this.#container(part)),
        ...(spec.initContainers === undefined
          ? {}
          : { initContainers: spec.initContainers.map((part) => this.#container(part)) }),
      },
    });
  }

  #container({ script = WAITING, name = "main", image, ...rest }: ContainerSpec): unknown {
    return {
      name,
      image: image ?? this.image(),
      imagePullPolicy: "IfNotPresent",
      command: ["/bin/sh", "-c", script],
      ...rest,
    };
  }

  /** What the kubelet says of a pod; undefined before it has said anything. */
  async status(name: string): Promise<PodStatus | undefined> {
    const pods = await this.kubelet.pods();
    return pods.find(({ metadata }) => metadata.name === `${name}-${NODE_NAME}`)?.status;
  }

  /** Waits until the kubelet says of a pod what it should, and has heard of its containers. */
  async until(
    name: string,
    what: string,
    holds: (status: PodStatus) => boolean,
  ): Promise<PodStatus> {
    let last: PodStatus | undefined;
    return await eventually(`${name}: ${what}`, async () => {
      last = await this.status(name).catch(() => undefined);
      return last?.containerStatuses !== undefined && holds(last) ? last : undefined;
    }, GUARD_MS).catch(async (error) => {
      const log = (await this.runtimeLog()).split("\n").slice(-20).join("\n");
      throw new Error(`${error.message}; it is ${JSON.stringify(last)}\n${log}`);
    });
  }

  async untilReady(name: string): Promise<PodStatus> {
    return await this.until(name, "ready", isReady);
  }

  /** Applies, and waits until it is ready. */
  async run(
    name: string,
    spec: PodSpec,
    metadata: Record<string, unknown> = {},
  ): Promise<PodStatus> {
    await this.apply(name, spec, metadata);
    return await this.untilReady(name);
  }

  /** Withdraws a pod's manifest and waits until nothing of the pod is in the runtime. */
  async remove(name: string): Promise<void> {
    await this.kubelet.withdraw(name);
    await this.untilGone(name);
  }

  async untilGone(name: string): Promise<void> {
    await eventually(`${name} has gone`, async () => {
      return (await this.sandboxes(name)).length === 0 ? true : undefined;
    }, GUARD_MS);
  }

  /** Every sandbox of a pod in the runtime, or of all pods; the oldest first. */
  async sandboxes(name?: string): Promise<PodSandbox[]> {
    const { items } = await this.client.runtime.listPodSandbox({});
    return items.filter(({ metadata }) =>
      name === undefined || metadata?.name === `${name}-${NODE_NAME}`
    ).toSorted((a, b) => Number(a.createdAt - b.createdAt));
  }

  /** Every container of a pod in the runtime, by name and attempt. */
  async containers(pod: string): Promise<Container[]> {
    const ids = new Set((await this.sandboxes(pod)).map(({ id }) => id));
    const { containers } = await this.client.runtime.listContainers({});
    return containers.filter(({ podSandboxId }) => ids.has(podSandboxId)).toSorted((a, b) =>
      (a.metadata?.name ?? "").localeCompare(b.metadata?.name ?? "") ||
      (a.metadata?.attempt ?? 0) - (b.metadata?.attempt ?? 0)
    );
  }

  /** The texts of a container's log so far, over all of its rotated files that are not packed. */
  async log(pod: string, container = "main", attempt?: number): Promise<string[]> {
    const found = (await this.containers(pod)).filter(({ metadata }) =>
      metadata?.name === container && (attempt === undefined || metadata.attempt === attempt)
    ).at(-1);
    if (found === undefined) return [];
    const { status } = await this.client.runtime.containerStatus({ containerId: found.id });
    const text = await Deno.readTextFile(status!.logPath).catch(() => "");
    return text.split("\n").slice(0, -1).map((line) => line.split(" ").slice(3).join(" "));
  }

  /** Waits until a container's log has a line, and returns the log. */
  async says(pod: string, line: string | RegExp, container = "main"): Promise<string[]> {
    let lines: string[] = [];
    return await eventually(`${pod} says ${line}`, async () => {
      lines = await this.log(pod, container);
      const said = lines.some((text) => typeof line === "string" ? text === line : line.test(text));
      return said ? lines : undefined;
    }, GUARD_MS).catch((error) => {
      throw new Error(`${error.message}; it said ${JSON.stringify(lines)}`);
    });
  }

  /** What a script prints in the running container of a pod; it must succeed. */
  async exec(pod: string, script: string, container = "main"): Promise<string> {
    const found = (await this.containers(pod)).findLast(({ metadata }) =>
      metadata?.name === container
    );
    assert.ok(found !== undefined, `${pod} has a container ${container}`);
    const { stdout, stderr, exitCode } = await this.client.runtime.execSync({
      containerId: found.id,
      cmd: ["/bin/sh", "-c", script],
      timeout: 30n,
    });
    const text = new TextDecoder();
    assert.equal(exitCode, 0, `${script}: ${text.decode(stderr)}`);
    return text.decode(stdout).replace(/\n$/, "");
  }

  /** Withdraws every pod and waits until they have stopped; the kubelet removes them within a minute. */
  async clear(): Promise<void> {
    for (const name of this.kubelet.manifests()) await this.kubelet.withdraw(name);
    await eventually("the pods have stopped", async () => {
      const ready = (await this.sandboxes()).some(({ state }) =>
        state === PodSandboxState.SANDBOX_READY
      );
      return ready || (await this.kubelet.pods()).length > 0 ? undefined : true;
    }, GUARD_MS);
  }

  /** Waits until the kubelet has removed every pod that was withdrawn. */
  async untilEmpty(): Promise<void> {
    await eventually("the pods have been removed", async () => {
      return (await this.sandboxes()).length === 0 ? true : undefined;
    }, GUARD_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using undo = new AsyncDisposableStack();
    undo.use(this.registry);
    undo.use(this.node);
    undo.use(this.kubelet);
  }
}

export function isReady(status: PodStatus): boolean {
  return status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ??
    false;
}

export function container(status: PodStatus, name = "main"): ContainerStatus {
  const found = [...status.containerStatuses ?? [], ...status.initContainerStatuses ?? []]
    .find((container) => container.name === name);
  assert.ok(found !== undefined, `the pod has a container ${name}`);
  return found;
}
