/** Taking a pod away, with what the command line made for it. @module */
import type { PodSandbox } from "../proto/mod.ts";
import type { CriClient } from "./client.ts";

/**
 * Folder of the emptyDir volumes of a pod that `play` started: beside the server's socket, which
 * only root can reach, and gone after a reboot as the volumes of a pod should be.
 */
export function volumesDirectory(socket: string, podUid: string): string {
  return `${socket.slice(0, socket.lastIndexOf("/"))}/play/${podUid}`;
}

/** Stops and removes a pod and the volumes that `play` made for it. May be repeated. */
export async function removePod(
  client: CriClient,
  pod: Pick<PodSandbox, "id" | "metadata">,
): Promise<void> {
  await client.runtime.stopPodSandbox({ podSandboxId: pod.id }, { timeoutMs: 0 });
  await client.runtime.removePodSandbox({ podSandboxId: pod.id }, { timeoutMs: 0 });
  await removeVolumes(client.socket, pod.metadata?.uid ?? "");
}

/** Only for uids of the form that `play` gives: any client may have named this pod. */
export async function removeVolumes(socket: string, podUid: string): Promise<void> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(podUid)) return;
  try {
    await Deno.remove(volumesDirectory(socket, podUid), { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
