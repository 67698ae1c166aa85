/** Watching started containers: their output and how they end. @module */
import type { CriClient } from "./client.ts";
import { readLog } from "./container_log.ts";
import { hasEnded, writeEntries } from "./log_output.ts";
import type { StartedPod } from "./pod_start.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Writes what the containers write until all have ended, or `signal` fires.
 *
 * @returns the exit code of the first container, in the manifest's order, that failed; else 0
 */
export async function attendPod(
  client: CriClient,
  terminal: Terminal,
  pod: StartedPod,
  signal: AbortSignal,
): Promise<number> {
  const prefixed = pod.containers.length > 1;
  await Promise.all(pod.containers.map(async ({ id, name }) => {
    const { status } = await client.runtime.containerStatus({ containerId: id });
    const entries = readLog({
      path: status?.logPath ?? "",
      until: () => hasEnded(client, id),
      signal,
    });
    await writeEntries(terminal, entries, prefixed ? { prefix: `${name}: ` } : {});
  }));
  if (signal.aborted) return 130;
  for (const { id } of pod.containers) {
    const { status } = await client.runtime.containerStatus({ containerId: id });
    if (status !== undefined && status.exitCode !== 0) return status.exitCode;
  }
  return 0;
}
