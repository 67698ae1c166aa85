/**
 * Starts a pod from a manifest over the CRI, all of it or nothing.
 *
 * @module
 */
import {
  AlreadyExistsError,
  CancelledError,
  FailedPreconditionError,
  NotFoundError,
  shown,
} from "../errors/mod.ts";
import { type PodSandbox, type PodSandboxConfig, PodSandboxState } from "../proto/mod.ts";
import type { DeepPartial } from "../proto/mod.ts";
import type { CriClient } from "./client.ts";
import { type ContainerEnd, lastLines, waitForEnd } from "./container_end.ts";
import { pullImage } from "./image_pull.ts";
import { findImage } from "./lookup.ts";
import type { PodFacts } from "./pod_fields.ts";
import type { ContainerManifest, PodManifest } from "./pod_manifest.ts";
import { removePod, removeVolumes, sweepVolumes, volumesDirectory } from "./pod_removal.ts";
import { allContainers, containerConfig, sandboxConfig } from "./pod_requests.ts";
import { makeVolumes, prepareHostPaths, type VolumePaths } from "./pod_volumes.ts";
import { shortId } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface PodStart {
  readonly client: CriClient;
  readonly terminal: Terminal;
  readonly pod: PodManifest;
  /** Interrupting undoes what has been made. */
  readonly signal: AbortSignal;
  /** Removes a pod of the same name first. */
  readonly replace?: boolean;
  readonly quiet?: boolean;
  /**
   * Asked when an init container has failed, and answers once it may be run again.
   *
   * @returns false to give the pod up
   */
  readonly mayRetry?: (name: string, end: ContainerEnd) => Promise<boolean>;
}

export interface StartedPod {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly ip: string;
  /** Sidecars first. Init containers that have ended are not among them. */
  readonly containers: readonly StartedContainer[];
}

export interface StartedContainer {
  readonly id: string;
  readonly name: string;
}

/** A pod that runs, and what making one of its containers again needs. */
export interface RunningPod {
  readonly started: StartedPod;
  readonly manifest: PodManifest;
  readonly maker: ContainerMaker;
}

/**
 * @throws {AlreadyExistsError} a pod of this name runs
 * @throws {FailedPreconditionError} an init container failed; nothing is left
 * @throws {CancelledError} `signal` fired; nothing is left
 */
export async function startPod(start: PodStart): Promise<RunningPod> {
  const { client, pod, signal } = start;
  await sweepVolumes(client);
  await makeRoom(start);
  const references = new Map<string, string>();
  for (const container of allContainers(pod)) {
    throwIfAborted(signal);
    checkNonRoot(pod, container);
    references.set(container.name, await imageFor(start, container));
  }
  throwIfAborted(signal);
  await prepareHostPaths(pod.volumes);
  const uid = crypto.randomUUID();
  const config = sandboxConfig(pod, uid);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => removeVolumes(client.socket, uid));
  const { podSandboxId: id } = await client.runtime.runPodSandbox(
    { config, runtimeHandler: pod.runtimeClassName },
    { timeoutMs: 0 },
  );
  undo.defer(() => removePod(client, { id, metadata: undefined }));
  throwIfAborted(signal);
  const facts = await factsOf(client, pod, { id, uid });
  // After the sandbox: what lies in the folder of a pod that does not exist can be swept.
  const volumes = await makeVolumes(pod, volumesDirectory(client.socket, uid), facts);
  const maker = new ContainerMaker(client, { pod, facts, volumes, references, config, id });
  const sidecars = await runInitContainers(start, maker);
  const containers: StartedContainer[] = [];
  for (const container of pod.containers) {
    containers.push({ id: await maker.create(container, 0), name: container.name });
    throwIfAborted(signal);
  }
  for (const container of containers) {
    await maker.start(container.id);
    throwIfAborted(signal);
  }
  undo.move();
  return {
    started: {
      id,
      name: pod.name,
      namespace: pod.namespace,
      uid,
      ip: facts.ips[0] ?? "",
      containers: [...sidecars, ...containers],
    },
    manifest: pod,
    maker,
  };
}

interface Making {
  readonly pod: PodManifest;
  readonly facts: PodFacts;
  readonly volumes: VolumePaths;
  /** Image reference by container. */
  readonly references: ReadonlyMap<string, string>;
  readonly config: DeepPartial<PodSandboxConfig>;
  /** Of the sandbox. */
  readonly id: string;
}

/** Makes the containers of one pod, the first time and again. */
export class ContainerMaker {
  readonly #client: CriClient;
  readonly #making: Making;

  constructor(client: CriClient, making: Making) {
    this.#client = client;
    this.#making = making;
  }

  /** @returns the container's id */
  async create(container: ContainerManifest, attempt: number): Promise<string> {
    const { pod, facts, volumes, references, config, id } = this.#making;
    const { containerId } = await this.#client.runtime.createContainer({
      podSandboxId: id,
      config: containerConfig(container, {
        pod,
        facts,
        volumes,
        attempt,
        imageRef: references.get(container.name) ?? container.image,
      }),
      sandboxConfig: config,
    }, { timeoutMs: 0 });
    return containerId;
  }

  async start(containerId: string): Promise<void> {
    await this.#client.runtime.startContainer({ containerId }, { timeoutMs: 0 });
  }

  async remove(containerId: string): Promise<void> {
    await this.#client.runtime.removeContainer({ containerId }, { timeoutMs: 0 });
  }
}

/** One after the other. @returns the sidecars, which go on */
async function runInitContainers(
  start: PodStart,
  maker: ContainerMaker,
): Promise<StartedContainer[]> {
  const { client, pod, signal, mayRetry } = start;
  const sidecars: StartedContainer[] = [];
  for (const container of pod.initContainers) {
    for (let attempt = 0;; attempt++) {
      const id = await maker.create(container, attempt);
      await maker.start(id);
      throwIfAborted(signal);
      if (container.sidecar) {
        sidecars.push({ id, name: container.name });
        break;
      }
      const end = await waitForEnd(client, id, signal);
      throwIfAborted(signal);
      if (end.exitCode === 0) break;
      const retry = pod.restartPolicy !== "Never" && await mayRetry?.(container.name, end);
      throwIfAborted(signal);
      if (retry !== true) throw await initFailure(client, container, { id, end });
      await maker.remove(id);
    }
  }
  return sidecars;
}

async function initFailure(
  client: CriClient,
  { name }: ContainerManifest,
  { id, end }: { readonly id: string; readonly end: ContainerEnd },
): Promise<FailedPreconditionError> {
  const lines = await lastLines(client, id);
  return new FailedPreconditionError(
    `The init container ${name} ended with exit code ${end.exitCode}` +
      (lines === "" ? ", and wrote nothing" : `; its last lines: ${lines}`),
    { remedy: "the pod is taken away; give --wait to have it tried again by its restartPolicy" },
  );
}

/** What of a pod its containers may ask for, once it runs. */
async function factsOf(
  client: CriClient,
  pod: PodManifest,
  { id, uid }: { readonly id: string; readonly uid: string },
): Promise<PodFacts> {
  const { status } = await client.runtime.podSandboxStatus({ podSandboxId: id });
  const { ip = "", additionalIps = [] } = status?.network ?? {};
  return {
    uid,
    name: pod.name,
    namespace: pod.namespace,
    nodeName: Deno.hostname(),
    serviceAccountName: pod.serviceAccountName,
    labels: pod.labels,
    annotations: pod.annotations,
    ips: ip === "" ? [] : [ip, ...additionalIps.map((more) => more.ip)],
    node: { cpu: BigInt(navigator.hardwareConcurrency) * 1000n, memory: await nodeMemoryBytes() },
  };
}

/** The sandboxes of a pod by its name; several after retries. */
export async function podsNamed(
  client: CriClient,
  { name, namespace }: Pick<PodManifest, "name" | "namespace">,
): Promise<PodSandbox[]> {
  const { items } = await client.runtime.listPodSandbox({});
  return items.filter(({ metadata }) =>
    metadata?.name === name && metadata.namespace === namespace
  );
}

async function makeRoom({ client, pod, replace }: PodStart): Promise<void> {
  for (const old of await podsNamed(client, pod)) {
    const runs = old.state === PodSandboxState.SANDBOX_READY;
    if (runs && replace !== true) {
      throw new AlreadyExistsError(
        `The pod ${pod.namespace}/${pod.name} runs already: ${shortId(old.id)}`,
        { id: old.id, remedy: "take it away with play --down, or give --replace" },
      );
    }
    await removePod(client, old);
  }
}

async function imageFor(start: PodStart, container: ContainerManifest): Promise<string> {
  const { client, terminal, signal, quiet = false } = start;
  const { image, pullPolicy } = container;
  if (pullPolicy !== "Always") {
    const found = await findImage(client, image);
    if (found !== undefined) return found.id;
    if (pullPolicy === "Never") {
      throw new NotFoundError(`The image ${shown(image)} is not on this node`, {
        remedy: "pull or load it, or set imagePullPolicy to IfNotPresent",
      });
    }
  }
  return await pullImage({ client, terminal, image, quiet, signal });
}

function checkNonRoot(pod: PodManifest, { name, security }: ContainerManifest): void {
  if (!security.runAsNonRoot && !pod.security.runAsNonRoot) return;
  const user = security.runAsUser ?? pod.security.runAsUser;
  if (user === undefined || user === 0n) {
    throw new FailedPreconditionError(
      `The container ${name} must not run as root, and its user is ${user ?? "the image's"}`,
      { field: "runAsNonRoot", remedy: "set runAsUser to another number than 0" },
    );
  }
}

async function nodeMemoryBytes(): Promise<bigint> {
  const text = await Deno.readTextFile("/proc/meminfo");
  return BigInt(/^MemTotal:\s+(\d+) kB$/m.exec(text)?.[1] ?? "0") * 1024n;
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new CancelledError("Interrupted: what was made is taken away");
}
