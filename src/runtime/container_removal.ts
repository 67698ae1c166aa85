/**
 * Making a container not exist, from any point of its life and of its making.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import { type ContainerId, isScope, type JsonObject, parseContainerId } from "../model/mod.ts";
import type { Intent } from "../state/steps.ts";
import type { ResourceType } from "../state/journal.ts";
import type { Cgroups } from "../sys/cgroup.ts";
import { SIGKILL } from "../sys/mod.ts";
import type { ProcessIdentity, ProcessTable, ProcessWatcher } from "../sys/watching.ts";
import { monitorFiles } from "./conmon_arguments.ts";
import { readPidFile } from "./conmon.ts";
import type { RuntimeCommand } from "./runc.ts";

/** What undoing needs, independent of the configuration that was in force. */
export interface RecordedContainer {
  readonly id: ContainerId;
  readonly bundle: string;
  readonly cgroupPath: string;
  readonly runtimePath: string;
  readonly runtimeRoot: string;
  readonly exitsDir: string;
  readonly attachSocketDir: string;
}

export interface RemovalPorts {
  readonly runtime: RuntimeCommand;
  readonly cgroups: Cgroups;
  readonly processes: ProcessTable;
  readonly processWatcher: ProcessWatcher;
}

const KIND = "runtime-container";
export const CGROUP_TIMEOUT_MS = 10_000;
/** A monitor drains and syncs the log after its container's end. */
const MONITOR_TIMEOUT_MS = 5_000;
const MONITOR_KILLED_TIMEOUT_MS = 2_000;

export function runtimeContainerIntent(container: RecordedContainer): Intent {
  return { kind: KIND, payload: { ...container } };
}

/** The resource `runtime-container`: monitor, processes, cgroups, runtime state and their files. */
export function runtimeContainerType(ports: RemovalPorts): ResourceType<RecordedContainer> {
  return {
    kind: KIND,
    parse: parseRecorded,
    undo: async (container, { sameBoot, signal }) => {
      // After a reboot the recorded pids and cgroups are other people's: only files are ours.
      if (sameBoot) await removeContainer(container, ports, signal);
      else removeFiles(container);
    },
  };
}

function parseRecorded(payload: JsonObject): RecordedContainer {
  const text = (key: Exclude<keyof RecordedContainer, "id">): string => {
    const value = payload[key];
    if (typeof value === "string" && value.startsWith("/")) return value;
    throw new InternalError(`A recorded container has no path ${key}`);
  };
  return {
    id: parseContainerId(String(payload["id"]), "id"),
    bundle: text("bundle"),
    cgroupPath: text("cgroupPath"),
    runtimePath: text("runtimePath"),
    runtimeRoot: text("runtimeRoot"),
    exitsDir: text("exitsDir"),
    attachSocketDir: text("attachSocketDir"),
  };
}

/**
 * Ends and removes a container that is running, ended, half made or not there at all.
 *
 * @throws {UnavailableError} killed processes do not vanish; may be repeated
 */
export async function removeContainer(
  container: RecordedContainer,
  ports: RemovalPorts,
  signal: AbortSignal,
): Promise<void> {
  const { runtime, cgroups } = ports;
  const files = monitorFiles(container.bundle);
  const halfMade = readPidFile(files.initPidFile) === undefined;
  // Without its monitor the runtime that is still making the container ends, too, and makes no more.
  if (halfMade) await endMonitors(container, ports, 0);
  // Before the runtime is asked: it looks only every 100 ms whether what it killed has ended.
  await cgroups.destroy(container.cgroupPath, CGROUP_TIMEOUT_MS);
  if (halfMade || !isRemovedByFiles(container)) {
    await runtime.delete(container, container.id, signal);
  }
  if (!halfMade) await endMonitors(container, ports, MONITOR_TIMEOUT_MS);
  removeFiles(container);
}

/**
 * True if the runtime would do no more than what is done here anyway: end the processes, remove the
 * cgroups and its folder of state. runc does just that, in a process of 10 to 25 ms, unless a hook
 * is to run after the container's end.
 */
function isRemovedByFiles({ runtimePath, bundle, cgroupPath }: RecordedContainer): boolean {
  // A scope that failed stays with systemd until the runtime resets it.
  if (!runtimePath.endsWith("/runc") || isScope(cgroupPath)) return false;
  try {
    return !Deno.readTextFileSync(`${bundle}/config.json`).includes('"poststop"');
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Waits for the monitors of a container and kills those that stay. */
async function endMonitors(
  container: RecordedContainer,
  ports: RemovalPorts,
  patienceMs: number,
): Promise<void> {
  for (const monitor of monitorsOf(container, ports.processes)) {
    if (patienceMs > 0 && await endedWithin(monitor, patienceMs, ports)) continue;
    ports.processes.signal(monitor, SIGKILL);
    await endedWithin(monitor, MONITOR_KILLED_TIMEOUT_MS, ports);
  }
}

/** False if the process has not ended after that time. */
export function endedWithin(
  process: ProcessIdentity,
  timeoutMs: number,
  { processWatcher }: Pick<RemovalPorts, "processWatcher">,
): Promise<boolean> {
  return new Promise((resolve) => {
    const watch = processWatcher.watchExit(process, () => {
      clearTimeout(timer);
      resolve(true);
    });
    const timer = setTimeout(() => {
      watch[Symbol.dispose]();
      resolve(false);
    }, timeoutMs);
  });
}

/** The monitor of a container by its pid file, if that process is one. */
export function monitorOf(
  { id, bundle }: Pick<RecordedContainer, "id" | "bundle">,
  processes: ProcessTable,
): ProcessIdentity | undefined {
  const pid = readPidFile(monitorFiles(bundle).monitorPidFile);
  if (pid === undefined || !isMonitorOf(pid, id)) return undefined;
  return processes.identify(pid);
}

function monitorsOf(container: RecordedContainer, processes: ProcessTable): ProcessIdentity[] {
  const known = monitorOf(container, processes);
  if (known !== undefined) return [known];
  if (readPidFile(monitorFiles(container.bundle).monitorPidFile) !== undefined) return [];
  // Killed between starting the monitor and its pid file: found by its arguments.
  return [...Deno.readDirSync("/proc")]
    .map(({ name }) => Number(name))
    .filter((pid) => pid > 0 && isMonitorOf(pid, container.id))
    .map((pid) => processes.identify(pid))
    .filter((identity) => identity !== undefined);
}

/** True if a process was started as the monitor of this container, not of an exec in it. */
function isMonitorOf(pid: number, id: ContainerId): boolean {
  let args: string[];
  try {
    args = Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0");
  } catch {
    return false; // it has ended
  }
  const at = args.indexOf("--cid");
  return at >= 0 && args[at + 1] === id && args.includes("--conmon-pidfile");
}

/** Removes what monitor and runtime wrote; succeeds for what is gone. */
function removeFiles(container: RecordedContainer): void {
  const { id, bundle, exitsDir, attachSocketDir, runtimeRoot } = container;
  const ofMonitor = Object.values(monitorFiles(bundle));
  const paths = [
    ...ofMonitor,
    `${exitsDir}/${id}`,
    `${attachSocketDir}/${id}`,
  ];
  for (const path of paths) removeIfThere(path);
  // The runtime's state, where the runtime itself was not asked to remove it.
  removeIfThere(`${runtimeRoot}/${id}`, { recursive: true });
}

function removeIfThere(path: string, options: Deno.RemoveOptions = {}): void {
  try {
    Deno.removeSync(path, options);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
