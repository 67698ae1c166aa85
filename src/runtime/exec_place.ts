/**
 * What each command in a container has of its own while it runs: a name, files, and a cgroup below its
 * container's, in which everything that it starts can be ended together.
 *
 * @module
 */
import {
  FailedPreconditionError,
  isErrno,
  NotFoundError,
  type SauropodError,
} from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import { SIGKILL } from "../sys/mod.ts";
import type { Cgroups } from "../sys/cgroup.ts";
import type { Kernel } from "../sys/kernel.ts";
import type { SpawnedProcess } from "../sys/process_runner.ts";
import type { ContainerPlace } from "./containers_runtime.ts";
import { meansGone, runtimeErrorText } from "./monitor_report.ts";

export const EXEC_CGROUP_PREFIX = "sauropod-exec-";

/** Killed processes that do not vanish in this time are in an uninterruptible wait. */
const KILL_TIMEOUT_MS = 5_000;
/** How long what started a command may take to end once the command was killed. */
const STARTER_TIMEOUT_MS = 1_000;

/** A name that no other exec of this node has or had. */
export function newExecName(): string {
  return `${EXEC_CGROUP_PREFIX}${crypto.getRandomValues(new Uint8Array(8)).toHex()}`;
}

/** Path of an exec's cgroup below a hierarchy's root. */
export function execCgroup({ cgroupPath }: ContainerPlace, name: string): string {
  return `${cgroupPath}/${name}`;
}

/**
 * Makes an exec's cgroup.
 *
 * @returns the name by which the runtime joins it, or undefined if the node has no freezer
 * @throws {NotFoundError} the container has no cgroup
 */
export function makeExecCgroup(
  cgroups: Cgroups,
  place: ContainerPlace,
  name: string,
): string | undefined {
  try {
    if (!cgroups.createKillable(execCgroup(place, name))) return undefined;
    // On v1 the controller is named, or the runtime wants the directory under every one of them.
    return cgroups.version === 2 ? name : `freezer:${name}`;
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new NotFoundError(`Container ${place.id} has no cgroup, so it is not running`, {
      id: place.id,
      cause,
    });
  }
}

/** Ends what execs of an earlier life of this process left running in a container. */
export async function sweepExecs(place: ContainerPlace, cgroups: Cgroups): Promise<void> {
  for (const name of cgroups.children(place.cgroupPath)) {
    if (!name.startsWith(EXEC_CGROUP_PREFIX)) continue;
    await cgroups.destroy(execCgroup(place, name), KILL_TIMEOUT_MS);
  }
}

/** The command's process as the runtime reads it: that of the container with other arguments. */
export function processDocument(
  process: JsonObject,
  { args, terminal }: { readonly args: readonly string[]; readonly terminal: boolean },
): string {
  return JSON.stringify({ ...process, args, terminal });
}

/** Paths of one exec's files; disposing removes those that were made. */
export interface ExecFiles extends Disposable {
  readonly process: string;
  readonly pid: string;
  readonly log: string;
}

export function execFiles(directory: string, name: string): ExecFiles {
  const path = `${directory}/${name}`;
  const files = { process: `${path}.json`, pid: `${path}.pid`, log: `${path}.log` };
  return {
    ...files,
    [Symbol.dispose]: () => {
      for (const path of Object.values(files)) {
        try {
          Deno.removeSync(path);
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error; // it had not been made yet
        }
      }
    },
  };
}

/**
 * Ends a command, everything that it started, and the program that started or watches it.
 *
 * The cgroup goes first: without it a command that is still being started cannot be.
 *
 * @throws {UnavailableError} killed processes do not vanish
 */
export async function endExec(
  cgroup: string,
  starter: SpawnedProcess | undefined,
  { cgroups, kernel }: { readonly cgroups: Cgroups; readonly kernel: Kernel },
): Promise<void> {
  await cgroups.destroy(cgroup, KILL_TIMEOUT_MS);
  if (starter !== undefined) await endStarter(starter, kernel);
  await cgroups.destroy(cgroup, KILL_TIMEOUT_MS);
}

async function endStarter(starter: SpawnedProcess, kernel: Kernel): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<true>();
  const timer = setTimeout(resolve, STARTER_TIMEOUT_MS, true);
  try {
    if (await Promise.race([starter.ended, late]) !== true) return;
    // A runtime below a monitor dies with it by its parent-death signal.
    kernel.kill(starter.pid, SIGKILL);
    await starter.ended;
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error; // it ended just then
  } finally {
    clearTimeout(timer);
  }
}

/** The error of a command that the runtime did not start, from what it wrote about it. */
export function startRefused({ id }: ContainerPlace, words: string): SauropodError {
  const text = runtimeErrorText(words);
  const details = { id, stage: "exec" };
  if (meansGone(text) || /cannot exec in a (?:stopped|paused) container/.test(text)) {
    return new FailedPreconditionError(`Container ${id} is not running: ${text}`, details);
  }
  return new FailedPreconditionError(
    `The command could not be started in container ${id}: ${text || "the runtime gave no reason"}`,
    details,
  );
}
