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
import { type PodSandbox, PodSandboxState } from "../proto/mod.ts";
import type { CriClient } from "./client.ts";
import { pullImage } from "./image_pull.ts";
import { findImage } from "./lookup.ts";
import type { ContainerManifest, HostPathType, PodManifest } from "./pod_manifest.ts";
import { removePod, removeVolumes, volumesDirectory } from "./pod_removal.ts";
import { containerConfig, sandboxConfig, type VolumePaths } from "./pod_requests.ts";
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
}

export interface StartedPod {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly ip: string;
  readonly containers: readonly { readonly id: string; readonly name: string }[];
}

/**
 * @throws {AlreadyExistsError} a pod of this name runs
 * @throws {CancelledError} `signal` fired; nothing is left
 */
export async function startPod(start: PodStart): Promise<StartedPod> {
  const { client, pod, signal } = start;
  await makeRoom(start);
  const references = new Map<string, string>();
  for (const container of pod.containers) {
    throwIfAborted(signal);
    checkNonRoot(pod, container);
    references.set(container.name, await imageFor(start, container));
  }
  throwIfAborted(signal);
  const identity = { uid: crypto.randomUUID() };
  const sandbox = sandboxConfig(pod, identity);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => removeVolumes(client.socket, identity.uid));
  const volumes = await makeVolumes(pod, volumesDirectory(client.socket, identity.uid));
  const { podSandboxId: id } = await client.runtime.runPodSandbox(
    { config: sandbox, runtimeHandler: pod.runtimeClassName },
    { timeoutMs: 0 },
  );
  undo.defer(() => removePod(client, { id, metadata: undefined }));
  throwIfAborted(signal);
  const memoryBytes = await nodeMemoryBytes();
  const containers: { id: string; name: string }[] = [];
  for (const container of pod.containers) {
    const config = containerConfig(container, {
      pod,
      identity,
      volumes,
      memoryBytes,
      imageRef: references.get(container.name) ?? container.image,
    });
    const { containerId } = await client.runtime.createContainer(
      { podSandboxId: id, config, sandboxConfig: sandbox },
      { timeoutMs: 0 },
    );
    containers.push({ id: containerId, name: container.name });
    throwIfAborted(signal);
  }
  for (const container of containers) {
    await client.runtime.startContainer({ containerId: container.id }, { timeoutMs: 0 });
    throwIfAborted(signal);
  }
  const { status } = await client.runtime.podSandboxStatus({ podSandboxId: id });
  undo.move();
  return {
    id,
    name: pod.name,
    namespace: pod.namespace,
    uid: identity.uid,
    ip: status?.network?.ip ?? "",
    containers,
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

async function makeVolumes(pod: PodManifest, directory: string): Promise<VolumePaths> {
  const paths = new Map<string, string>();
  for (const [name, volume] of pod.volumes) {
    if (volume.kind === "hostPath") {
      await prepareHostPath(volume.path, volume.type);
      paths.set(name, volume.path);
      continue;
    }
    const path = `${directory}/${name}`;
    await Deno.mkdir(directory, { recursive: true, mode: 0o711 });
    await Deno.mkdir(path);
    const { fsGroup } = pod.security;
    if (fsGroup !== undefined) await Deno.chown(path, null, Number(fsGroup));
    // Any user of any container may write, as in Kubernetes; the folders above let only root in.
    await Deno.chmod(path, fsGroup === undefined ? 0o777 : 0o2777);
    paths.set(name, path);
  }
  return paths;
}

async function prepareHostPath(path: string, type: HostPathType): Promise<void> {
  const info = await Deno.stat(path).catch((error: unknown) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  const wrong = (what: string) =>
    new FailedPreconditionError(`The hostPath ${shown(path)} is ${what}`, { path });
  switch (type) {
    case "":
      return;
    case "DirectoryOrCreate":
      if (info === undefined) await Deno.mkdir(path, { recursive: true, mode: 0o755 });
      else if (!info.isDirectory) throw wrong("no directory");
      return;
    case "FileOrCreate":
      if (info === undefined) await Deno.writeTextFile(path, "", { mode: 0o644, createNew: true });
      else if (!info.isFile) throw wrong("no file");
      return;
    case "Directory":
      if (info?.isDirectory !== true) throw wrong("no directory");
      return;
    case "File":
      if (info?.isFile !== true) throw wrong("no file");
      return;
    default:
      return type satisfies never;
  }
}

async function nodeMemoryBytes(): Promise<bigint> {
  const text = await Deno.readTextFile("/proc/meminfo");
  return BigInt(/^MemTotal:\s+(\d+) kB$/m.exec(text)?.[1] ?? "0") * 1024n;
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new CancelledError("Interrupted: what was made is taken away");
}
