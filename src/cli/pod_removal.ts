/** Taking a pod away, with what the command line made for it. @module */
import { NotFoundError } from "../errors/mod.ts";
import { type Container, ContainerState, type PodSandbox } from "../proto/mod.ts";
import type { CriClient } from "./client.ts";
import { GRACE_ANNOTATION, SIDECAR_ANNOTATION } from "./pod_requests.ts";

/** Holds a folder for each pod that `play` started. */
function playDirectory(socket: string): string {
  return `${socket.slice(0, socket.lastIndexOf("/"))}/play`;
}

/**
 * Folder of the volumes of a pod that `play` started: beside the server's socket, which only root
 * can reach, and gone after a reboot as the volumes of a pod should be.
 */
export function volumesDirectory(socket: string, podUid: string): string {
  return `${playDirectory(socket)}/${podUid}`;
}

export interface RemovalOptions {
  /**
   * Waits as long as the containers' own terminationGracePeriodSeconds says; without it the server
   * kills soon.
   */
  readonly gracefully?: boolean;
}

/** Stops and removes a pod and the volumes that `play` made for it. May be repeated. */
export async function removePod(
  client: CriClient,
  pod: Pick<PodSandbox, "id" | "metadata">,
  { gracefully = false }: RemovalOptions = {},
): Promise<void> {
  if (gracefully) await stopContainers(client, pod.id);
  await client.runtime.stopPodSandbox({ podSandboxId: pod.id }, { timeoutMs: 0 });
  await client.runtime.removePodSandbox({ podSandboxId: pod.id }, { timeoutMs: 0 });
  await removeVolumes(client.socket, pod.metadata?.uid ?? "");
}

const DEFAULT_GRACE_S = 10n;

/** Stops what runs in a pod: first the containers at once, then the sidecars, the last one first. */
export async function stopContainers(client: CriClient, podSandboxId: string): Promise<void> {
  const { containers } = await client.runtime.listContainers({ filter: { podSandboxId } });
  const running = containers.filter(({ state }) => state === ContainerState.CONTAINER_RUNNING);
  const isSidecar = ({ annotations }: Container) => annotations[SIDECAR_ANNOTATION] === "true";
  const stop = async ({ id, annotations }: Container): Promise<void> => {
    const text = annotations[GRACE_ANNOTATION] ?? "";
    const timeout = /^\d{1,9}$/.test(text) ? BigInt(text) : DEFAULT_GRACE_S;
    try {
      await client.runtime.stopContainer({ containerId: id, timeout }, { timeoutMs: 0 });
    } catch (error) {
      // Somebody was quicker.
      if (!(error instanceof NotFoundError)) throw error;
    }
  };
  await Promise.all(running.filter((container) => !isSidecar(container)).map(stop));
  const sidecars = running.filter(isSidecar)
    .sort((left, right) => left.createdAt < right.createdAt ? 1 : -1);
  for (const sidecar of sidecars) await stop(sidecar);
}

const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Only for uids of the form that `play` gives: any client may have named this pod. */
export async function removeVolumes(socket: string, podUid: string): Promise<void> {
  if (!UID.test(podUid)) return;
  try {
    await Deno.remove(volumesDirectory(socket, podUid), { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/**
 * Removes the volumes of pods that are gone: another client took the pod away, or `play` was killed.
 * Volumes are made after their pod, so that none of a pod to be is among them.
 */
export async function sweepVolumes(client: CriClient): Promise<void> {
  const found: string[] = [];
  try {
    for await (const { name } of Deno.readDir(playDirectory(client.socket))) found.push(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (found.length === 0) return;
  const { items } = await client.runtime.listPodSandbox({});
  const alive = new Set(items.map(({ metadata }) => metadata?.uid ?? ""));
  for (const uid of found) if (!alive.has(uid)) await removeVolumes(client.socket, uid);
}
