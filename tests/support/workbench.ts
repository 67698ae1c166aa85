/**
 * A running node with an image on it, and short ways to ask it for pods: what end-to-end tests
 * share. Every test leaves the node as it found it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { status as Code } from "@grpc/grpc-js";
import { startRegistry, type TestRegistry } from "../integration/registry.ts";
import { busyboxImage, type TestImage } from "../integration/test_images.ts";
import {
  ContainerConfig,
  ContainerState,
  type ContainerStatus,
  PodSandboxConfig,
} from "../../src/proto/mod.ts";
import type { CriClient } from "./cri_client.ts";
import { containerConfig, podConfig } from "./pods.ts";
import {
  type RunningServer,
  type ServerStart,
  TestNode,
  type TestNodeOptions,
} from "./test_node.ts";

type Deep<T> = T extends bigint | Uint8Array | string | number | boolean | undefined ? T
  : T extends readonly (infer U)[] ? readonly Deep<U>[]
  : { readonly [K in keyof T]?: Deep<T[K]> };

export interface WorkbenchOptions extends TestNodeOptions {
  /** Images beside the usual one, by name; pulled before the first test. */
  readonly images?: Readonly<Record<string, () => TestImage>>;
  /** Changes the node's files before the server starts for the first time. */
  readonly prepare?: (node: TestNode) => Promise<void>;
  readonly start?: ServerStart;
}

export interface PodParts {
  readonly name?: string;
  /** Name of an image of the workbench; `busybox` by default. */
  readonly image?: string;
  /** Shell text of the container; by default it says hello and waits. */
  readonly script?: string;
  readonly pod?: Deep<PodSandboxConfig>;
  readonly container?: Deep<ContainerConfig>;
  readonly handler?: string;
}

let serial = 0;

export class Workbench implements AsyncDisposable {
  readonly registry: TestRegistry;
  readonly node: TestNode;
  #server: RunningServer;

  private constructor(registry: TestRegistry, node: TestNode, server: RunningServer) {
    this.registry = registry;
    this.node = node;
    this.#server = server;
  }

  static async make(options: WorkbenchOptions = {}): Promise<Workbench> {
    await using undo = new AsyncDisposableStack();
    const registry = undo.use(await startRegistry());
    const images = { busybox: () => busyboxImage(), ...options.images };
    for (const [name, image] of Object.entries(images)) {
      await registry.push(`test/${name}`, "1", image());
    }
    const node = undo.use(
      await TestNode.make({ ...options, insecureRegistries: [registry.address] }),
    );
    await options.prepare?.(node);
    const server = await node.start(options.start ?? {});
    const bench = new Workbench(registry, node, server);
    for (const name of Object.keys(images)) {
      await bench.client.images.pullImage({ image: { image: bench.image(name) } });
    }
    undo.move();
    return bench;
  }

  get client(): CriClient {
    return this.#server.client;
  }

  get runtime(): CriClient["runtime"] {
    return this.client.runtime;
  }

  get server(): RunningServer {
    return this.#server;
  }

  image(name = "busybox"): string {
    return `${this.registry.address}/test/${name}:1`;
  }

  /** kill -9 or SIGTERM, what `meanwhile` does, and a new server over the same state. */
  async restart(
    how: "kill" | "stop",
    { meanwhile, start = {} }: {
      readonly meanwhile?: () => Promise<void>;
      readonly start?: ServerStart;
    } = {},
  ): Promise<void> {
    await this.#server[how]();
    await meanwhile?.();
    this.#server = await this.node.start(start);
  }

  sandboxConfig({ name = `pod${serial++}`, pod = {} }: PodParts = {}): PodSandboxConfig {
    const base = podConfig(this.node, { name });
    return PodSandboxConfig.fromPartial({
      ...base,
      ...pod,
      linux: {
        ...base.linux,
        ...pod.linux,
        securityContext: { ...base.linux?.securityContext, ...pod.linux?.securityContext },
      },
    } as never);
  }

  containerConfig({ image, script, container = {} }: PodParts = {}): ContainerConfig {
    const base = containerConfig({
      name: container.metadata?.name ?? "main",
      attempt: container.metadata?.attempt ?? 0,
      image: this.image(image),
      ...(script === undefined ? {} : { script }),
    });
    return ContainerConfig.fromPartial({ ...base, ...container } as never);
  }

  async sandbox(parts: PodParts = {}): Promise<{ id: string; config: PodSandboxConfig }> {
    const config = this.sandboxConfig(parts);
    const { podSandboxId } = await this.runtime.runPodSandbox({
      config,
      runtimeHandler: parts.handler ?? "",
    });
    return { id: podSandboxId, config };
  }

  /** A created container in a sandbox. */
  async created(
    sandbox: { readonly id: string; readonly config: PodSandboxConfig },
    parts: PodParts = {},
  ): Promise<BenchContainer> {
    const { containerId } = await this.runtime.createContainer({
      podSandboxId: sandbox.id,
      config: this.containerConfig(parts),
      sandboxConfig: sandbox.config,
    });
    return new BenchContainer(this, containerId, sandbox.id);
  }

  /** A started container in a sandbox of its own. */
  async pod(parts: PodParts = {}): Promise<BenchContainer> {
    const made = await this.created(await this.sandbox(parts), parts);
    await this.runtime.startContainer({ containerId: made.id });
    return made;
  }

  /** What a script printed, run as a container to its end. */
  async output(script: string, parts: PodParts = {}): Promise<string> {
    const container = await this.pod({ ...parts, script });
    const { exitCode } = await container.ended();
    const lines = (await container.log()).map(({ text }) => text).join("\n");
    assert.equal(exitCode, 0, lines);
    return lines;
  }

  /** Removes every pod. */
  async clear(): Promise<void> {
    const { items } = await this.runtime.listPodSandbox({});
    await Promise.all(items.map(({ id }) => this.runtime.removePodSandbox({ podSandboxId: id })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
    await this.registry[Symbol.asyncDispose]();
  }
}

export interface LogLine {
  readonly time: string;
  readonly stream: string;
  readonly tag: string;
  readonly text: string;
}

/** A container on a workbench. */
export class BenchContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly #bench: Workbench;

  constructor(bench: Workbench, id: string, sandboxId: string) {
    this.#bench = bench;
    this.id = id;
    this.sandboxId = sandboxId;
  }

  async status(): Promise<ContainerStatus> {
    const { status } = await this.#bench.runtime.containerStatus({ containerId: this.id });
    assert.ok(status !== undefined);
    return status;
  }

  /** Of the verbose status. */
  async info(): Promise<{ pid: number; runtimeSpec: Record<string, unknown> }> {
    const { info } = await this.#bench.runtime.containerStatus({
      containerId: this.id,
      verbose: true,
    });
    return JSON.parse(info["info"] ?? "{}");
  }

  /** Runs a shell script inside. */
  async exec(script: string, timeoutSeconds = 20): Promise<{
    readonly stdout: string;
    readonly stderr: string;
    readonly exitCode: number;
  }> {
    const { stdout, stderr, exitCode } = await this.#bench.runtime.execSync({
      containerId: this.id,
      cmd: ["/bin/sh", "-c", script],
      timeout: BigInt(timeoutSeconds),
    });
    const text = new TextDecoder();
    return { stdout: text.decode(stdout), stderr: text.decode(stderr), exitCode };
  }

  /** What a script prints inside, without its last line break; it must succeed. */
  async sh(script: string): Promise<string> {
    const { stdout, stderr, exitCode } = await this.exec(script);
    assert.equal(exitCode, 0, `${script}: ${stderr}`);
    return stdout.replace(/\n$/, "");
  }

  /** Its status once it has ended. */
  async ended(): Promise<ContainerStatus> {
    return await eventually("the container ends", async () => {
      const status = await this.status();
      return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
  }

  async log(): Promise<LogLine[]> {
    const { logPath } = await this.status();
    return parseLog(await Deno.readTextFile(logPath));
  }

  /** Waits until its log holds a line. */
  async says(line: string): Promise<void> {
    await eventually(`the container says ${line}`, async () => {
      const lines = await this.log().catch(() => []);
      return lines.some(({ text }) => text === line) ? true : undefined;
    });
  }
}

export function parseLog(text: string): LogLine[] {
  return text.split("\n").slice(0, -1).map((line) => {
    const match = /^(\S+) (stdout|stderr) ([FP]) ([^\n]*)$/.exec(line);
    assert.ok(match !== null, `no line of a CRI log: ${line}`);
    const [, time = "", stream = "", tag = "", content = ""] = match;
    return { time, stream, tag, text: content };
  });
}

/** Asks until there is an answer; the guard is far above what it should take. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 30_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert.ok(performance.now() < end, `Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The call fails with this code and a message that says these things. */
export async function refused(
  call: Promise<unknown>,
  code: keyof typeof Code,
  ...says: readonly (string | RegExp)[]
): Promise<void> {
  const error = await call.then(() => undefined, (error) => error as { code: Code } & Error);
  assert.ok(error !== undefined, `the call was answered, not refused with ${code}`);
  assert.equal(Code[error.code], code, error.message);
  for (const part of says) {
    const told: boolean = typeof part === "string"
      ? error.message.includes(part)
      : part.test(error.message);
    assert.ok(told, `"${error.message}" does not say ${part}`);
  }
}

/**
 * Declares the tests of a file on one workbench. After each its pods are removed, and nothing of
 * them may be left on the host.
 */
export function onWorkbench(
  options: WorkbenchOptions = {},
): (name: string, body: (bench: Workbench) => Promise<void>) => void {
  let making: Promise<Workbench> | undefined;
  const ignore = Deno.uid() !== 0;
  Deno.test.afterAll(async () => {
    await (await making?.catch(() => undefined))?.[Symbol.asyncDispose]();
  });
  return (name, body) => {
    Deno.test({
      name,
      ignore,
      // The server, the registry and the client's connections outlive each test.
      sanitizeOps: false,
      sanitizeResources: false,
      async fn() {
        making ??= Workbench.make(options);
        const used = await making;
        try {
          await body(used);
        } finally {
          await used.clear();
        }
        assert.deepEqual(await used.node.residue(), []);
      },
    });
  };
}
