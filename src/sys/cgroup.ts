/**
 * Control groups of our own, under every hierarchy at once: v1, v2, or v1 with a v2 beside it.
 *
 * Paths are those below a hierarchy's root (`/kubepods/pod1/x`). Only the group named and groups below
 * it are ever removed or killed, never a parent, and never the root.
 *
 * @module
 */
import {
  DeadlineExceededError,
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  shown,
} from "../errors/mod.ts";
import type { CgroupHierarchy, CgroupLayout } from "./cgroup_mounts.ts";
import type { Kernel } from "./kernel.ts";
import { SIGKILL } from "./signals.ts";

/** Out-of-memory kills so far; undefined where no memory controller tells. */
export interface MemoryEvents {
  readonly oomKills: number;
}

export interface CgroupsOptions {
  readonly kernel: Kernel;
  readonly layout: CgroupLayout;
}

/** Members vanish a little after SIGKILL, and v1 has no event for it. */
const SETTLE_STEP_MS = 4;
const FREEZE_MS = 200;

export class Cgroups {
  readonly #kernel: Kernel;
  readonly #hierarchies: readonly CgroupHierarchy[];

  constructor({ kernel, layout }: CgroupsOptions) {
    this.#kernel = kernel;
    this.#hierarchies = layout.hierarchies;
  }

  /**
   * Makes the group, and its missing parents, in every hierarchy; one that exists stays as it is.
   *
   * @throws {InvalidArgumentError} the path is not absolute and plain
   */
  create(path: string): void {
    checkPath(path);
    for (const hierarchy of this.#hierarchies) {
      let directory = hierarchy.mountPoint;
      for (const part of path.slice(1).split("/")) {
        const parent = directory;
        directory = `${directory}/${part}`;
        if (makeDirectory(directory)) initialize(hierarchy, parent, directory);
      }
    }
  }

  /** True if any hierarchy has the group. */
  exists(path: string): boolean {
    checkPath(path);
    return this.#directories(path).length > 0;
  }

  /** Pids in the group and in all groups below it. */
  pids(path: string): number[] {
    checkPath(path);
    const pids = new Set<number>();
    for (const { directory } of this.#directories(path)) {
      for (const group of groupsBelow(directory)) {
        for (const pid of pidsOf(group)) pids.add(pid);
      }
    }
    return [...pids];
  }

  /**
   * Kills every process in the group and below it, those that are just being started included, and
   * waits until all are gone.
   *
   * @throws {DeadlineExceededError} `signal` fired while some were left: in an uninterruptible wait
   */
  async killAll(path: string, signal: AbortSignal): Promise<void> {
    checkPath(path);
    for (;;) {
      const v2 = this.#directories(path).find(({ hierarchy }) => hierarchy.version === 2);
      if (v2 !== undefined) tryWrite(`${v2.directory}/cgroup.kill`, "1");
      if (this.pids(path).length > 0) await this.#freezeAndKill(path);
      const left = this.pids(path);
      if (left.length === 0) return;
      if (signal.aborted) {
        throw new DeadlineExceededError(
          `${left.length} processes of cgroup ${shown(path)} cannot be killed`,
          { path, value: left.slice(0, 8).join(", ") },
        );
      }
      await pause(SETTLE_STEP_MS);
    }
  }

  /**
   * Removes the group and the groups below it, which hold no processes any more; succeeds if there is
   * none.
   *
   * @throws {FailedPreconditionError} `signal` fired while a process was in it
   */
  async remove(path: string, signal: AbortSignal): Promise<void> {
    checkPath(path);
    for (const { directory } of this.#directories(path)) {
      // Deepest first; a group stays busy until the last exiting task has left it.
      for (const group of groupsBelow(directory).reverse()) {
        while (!removeDirectory(group)) {
          if (signal.aborted) {
            throw new FailedPreconditionError(`Cgroup ${shown(path)} is still in use`, {
              path: group,
              value: pidsOf(group).slice(0, 8).join(", "),
            });
          }
          await pause(SETTLE_STEP_MS);
        }
      }
    }
  }

  memoryEvents(path: string): MemoryEvents | undefined {
    checkPath(path);
    const found = this.#directories(path).find(({ hierarchy }) =>
      hierarchy.controllers.includes("memory")
    );
    if (found === undefined) return undefined;
    const { hierarchy, directory } = found;
    const file = hierarchy.version === 2 ? "memory.events" : "memory.oom_control";
    const count = /^oom_kill (\d+)$/m.exec(readText(`${directory}/${file}`) ?? "")?.[1];
    return count === undefined ? undefined : { oomKills: Number(count) };
  }

  /** The group's directory in the hierarchy that has a controller; undefined without one. */
  directoryOf(path: string, controller: string): string | undefined {
    checkPath(path);
    const hierarchy = this.#hierarchies.find(({ controllers }) => controllers.includes(controller));
    return hierarchy === undefined ? undefined : `${hierarchy.mountPoint}${path}`;
  }

  #directories(
    path: string,
  ): { readonly hierarchy: CgroupHierarchy; readonly directory: string }[] {
    return this.#hierarchies
      .map((hierarchy) => ({ hierarchy, directory: `${hierarchy.mountPoint}${path}` }))
      .filter(({ directory }) => isDirectory(directory));
  }

  /** Frozen processes cannot fork while they are killed one by one; the signal acts at the thaw. */
  async #freezeAndKill(path: string): Promise<void> {
    const freezer = this.#directories(path).find(({ hierarchy }) =>
      hierarchy.version === 1 && hierarchy.controllers.includes("freezer")
    );
    const state = freezer === undefined ? undefined : `${freezer.directory}/freezer.state`;
    try {
      if (state !== undefined) {
        tryWrite(state, "FROZEN");
        const until = performance.now() + FREEZE_MS;
        while (readText(state)?.trim() === "FREEZING" && performance.now() < until) await pause(1);
      }
      for (const pid of this.pids(path)) this.#kill(pid);
    } finally {
      if (state !== undefined) tryWrite(state, "THAWED");
    }
  }

  #kill(pid: number): void {
    try {
      this.#kernel.kill(pid, SIGKILL);
    } catch {
      // Gone meanwhile; what is not shows in the next look.
    }
  }
}

/** @throws {InvalidArgumentError} unless it names a group below the root, plainly */
function checkPath(path: string): void {
  const parts = path.split("/").slice(1);
  const plain = path.startsWith("/") &&
    parts.every((part) => part !== "" && part !== "." && part !== ".." && !/[\0\n]/.test(part));
  if (!plain) {
    throw new InvalidArgumentError(`Cgroup path ${shown(path)} is not absolute and plain`, {
      field: "cgroup",
      value: path,
    });
  }
}

/** Files that a new group needs before processes can join it. */
function initialize(hierarchy: CgroupHierarchy, parent: string, directory: string): void {
  // v2 controllers are left to the OCI runtime: enabling one forbids processes in the parent.
  if (hierarchy.version === 1 && hierarchy.controllers.includes("cpuset")) {
    // A new v1 cpuset has no processors and no memory: nothing could join it.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (readText(`${directory}/${file}`)?.trim() !== "") continue;
      tryWrite(`${directory}/${file}`, readText(`${parent}/${file}`)?.trim() ?? "");
    }
  }
}

/** True if it was made, false if it was there. */
function makeDirectory(path: string): boolean {
  try {
    Deno.mkdirSync(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw new InternalError(`Cgroup ${shown(path)} could not be made`, { path, cause: error });
  }
}

/** False while it is busy. */
function removeDirectory(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}

/** The group and all groups below it, parents first. */
function groupsBelow(directory: string): string[] {
  const groups = [directory];
  for (const group of groups) {
    try {
      for (const entry of Deno.readDirSync(group)) {
        if (entry.isDirectory) groups.push(`${group}/${entry.name}`);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return groups;
}

function pidsOf(group: string): number[] {
  const text = readText(`${group}/cgroup.procs`) ?? "";
  // Processes of another PID namespace read as 0.
  return text.split("\n").map(Number).filter((pid) => pid > 0);
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

/** Writes a control file; one that is missing or refuses is an older kernel's way to say no. */
function tryWrite(path: string, value: string): void {
  try {
    Deno.writeTextFileSync(path, value, { create: false });
  } catch {
    // The caller looks at the effect.
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
