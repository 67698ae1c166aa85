/**
 * A pod in the foreground: shows what its containers write and starts them again by the pod's
 * restartPolicy, which nobody but a kubelet does otherwise.
 *
 * @module
 */
import type { CriClient } from "./client.ts";
import { type ContainerEnd, endOf, entriesToEnd } from "./container_end.ts";
import { described, tellNote } from "./failure.ts";
import { writeEntries } from "./log_output.ts";
import type { ContainerManifest, RestartPolicy } from "./pod_manifest.ts";
import { stopContainers } from "./pod_removal.ts";
import type { RunningPod, StartedContainer } from "./pod_start.ts";
import { pause, RestartBackOff, wantsRestart } from "./restarts.ts";
import { shortId } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface Supervision {
  readonly client: CriClient;
  readonly terminal: Terminal;
  readonly pod: RunningPod;
  readonly signal: AbortSignal;
}

/**
 * Attends a pod until its containers have ended for good, or `signal` fires. Sidecars are then
 * stopped, last first.
 *
 * @returns the exit code of the first container, in the manifest's order, that failed; else 0, and
 *   130 when interrupted
 */
export async function attendPod(supervision: Supervision): Promise<number> {
  const { client, pod, signal } = supervision;
  const { manifest, started } = pod;
  const sidecarNames = new Set(
    manifest.initContainers.filter(({ sidecar }) => sidecar).map(({ name }) => name),
  );
  const isSidecar = ({ name }: StartedContainer) => sidecarNames.has(name);
  const mainsEnded = new AbortController();
  const whileNeeded = AbortSignal.any([signal, mainsEnded.signal]);
  const sidecars = started.containers.filter(isSidecar).map((container) =>
    attend(supervision, container, { policy: "Always", signal: whileNeeded })
  );
  const mains = started.containers.filter((container) => !isSidecar(container));
  const codes = await Promise.all(
    mains.map((container) =>
      attend(supervision, container, { policy: manifest.restartPolicy, signal })
    ),
  );
  mainsEnded.abort();
  await Promise.all(sidecars);
  if (signal.aborted) return 130;
  if (sidecars.length > 0) await stopContainers(client, started.id);
  return codes.find((code) => code !== 0) ?? 0;
}

/** @returns the exit code of the last attempt */
async function attend(
  { client, terminal, pod }: Supervision,
  container: StartedContainer,
  { policy, signal }: { readonly policy: RestartPolicy; readonly signal: AbortSignal },
): Promise<number> {
  const { started, manifest, maker } = pod;
  const { name } = container;
  const output = started.containers.length > 1 ? { prefix: `${name}: ` } : {};
  const definition = definitionOf(pod, name);
  const backOff = new RestartBackOff();
  let current: string | undefined = container.id;
  let end: ContainerEnd = { exitCode: 0, ranMs: 0 };
  for (let attempt = 1;; attempt++) {
    if (current !== undefined) {
      await writeEntries(terminal, entriesToEnd(client, current, signal), output);
      if (signal.aborted) return 130;
      end = await endOf(client, current);
    }
    if (!wantsRestart(policy, end.exitCode)) return end.exitCode;
    const delayMs = backOff.delayMs(end.ranMs);
    tellNote(
      terminal,
      `${manifest.name}: ${name} ended with exit code ${end.exitCode}, restarted ` +
        `${delayMs === 0 ? "now" : `in ${delayMs / 1000} s`} (attempt ${attempt})`,
    );
    await pause(delayMs, signal);
    if (signal.aborted) return 130;
    const before = current;
    current = await again(pod, definition, attempt).catch((error: unknown) => {
      terminal.error(`error: ${manifest.name}: ${name}: ${described(error)}\n`);
      end = { exitCode: 128, ranMs: 0 };
      return undefined;
    });
    // The log of the attempt before stays until here, for who wants to see why it ended.
    if (before !== undefined && current !== undefined) await maker.remove(before);
  }
}

/** @throws {SauropodError} it cannot be made or started; nothing of the attempt is left */
async function again(
  { maker }: RunningPod,
  container: ContainerManifest,
  attempt: number,
): Promise<string> {
  const id = await maker.create(container, attempt);
  try {
    await maker.start(id);
  } catch (error) {
    await maker.remove(id);
    throw error;
  }
  return id;
}

function definitionOf({ manifest }: RunningPod, name: string): ContainerManifest {
  const found = [...manifest.initContainers, ...manifest.containers]
    .find((container) => container.name === name);
  if (found === undefined) throw new RangeError(`${shortId(name)} is no container of the pod`);
  return found;
}

/** For init containers that fail: the same delays and notes. */
export function initRetries(
  { terminal, signal, podName }: {
    readonly terminal: Terminal;
    readonly signal: AbortSignal;
    readonly podName: string;
  },
): (name: string, end: ContainerEnd) => Promise<boolean> {
  const backOffs = new Map<string, RestartBackOff>();
  return async (name, { exitCode, ranMs }) => {
    const backOff = backOffs.get(name) ?? new RestartBackOff();
    backOffs.set(name, backOff);
    const delayMs = backOff.delayMs(ranMs);
    tellNote(
      terminal,
      `${podName}: the init container ${name} ended with exit code ${exitCode}, run again ` +
        `${delayMs === 0 ? "now" : `in ${delayMs / 1000} s`}`,
    );
    await pause(delayMs, signal);
    return !signal.aborted;
  };
}
