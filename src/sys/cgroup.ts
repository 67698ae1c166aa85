/**
 * Control groups, under every hierarchy of the node at once: v1, v2, or v1 with a v2 beside it.
 *
 * Paths are those below a hierarchy's root (`/kubepods/pod1/x`). Only the group named and groups below
 * it are ever removed, killed or thawed, never a parent, and never the root.
 *
 * A call touches a few kernel files and takes well below a millisecond, so all are synchronous; only
 * waiting for processes to go is not.
 *
 * @module
 */
import {
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  isErrno,
  shown,
  UnavailableError,
} from "../errors/mod.ts";
import type { CgroupHierarchy, CgroupLayout } from "./cgroup_mounts.ts";
import type { Kernel } from "./kernel.ts";
import { SIGKILL } from "./signals.ts";

export interface CgroupsOptions {
  readonly kernel: Kernel;
  readonly layout: CgroupLayout;
}

/** A group's directory in one hierarchy. */
interface Group {
  readonly hierarchy: CgroupHierarchy;
  readonly directory: string;
}

/** Members vanish a little after SIGKILL, and v1 tells of an empty group only by a release agent. */
const SETTLE_STEP_MS = 2;
/** How long a group may take to freeze before its members are killed as they are. */
const FREEZE_MS = 200;
const FREEZE_STEP_MS = 1;
/** A member that forks while it is moved leaves its child behind, for the next round. */
const ROUNDS_OF_MOVING = 5;

const FREEZER = {
  1: { file: "freezer.state", frozen: "FROZEN", thawed: "THAWED" },
  2: { file: "cgroup.freeze", frozen: "1", thawed: "0" },
} as const;

export class Cgroups {
  readonly #kernel: Kernel;
  readonly #layout: CgroupLayout;
  /** The one through which processes are found and frozen; undefined on v1 without a freezer. */
  readonly #killable: CgroupHierarchy | undefined;

  constructor({ kernel, layout }: CgroupsOptions) {
    this.#kernel = kernel;
    this.#layout = layout;
    this.#killable = layout.hierarchies.find(({ version, controllers }) =>
      layout.mode === "unified" ? version === 2 : controllers.includes("freezer")
    );
  }

  /** Version of the hierarchy that has the controllers: 1 also on a hybrid node. */
  get version(): 1 | 2 {
    return this.#layout.mode === "unified" ? 2 : 1;
  }

  /**
   * Makes the group, and its missing parents, in every hierarchy; one that exists stays as it is.
   *
   * @throws {InvalidArgumentError} the path is not absolute and plain
   */
  create(path: string): void {
    checkPath(path);
    for (const hierarchy of this.#layout.hierarchies) {
      let directory = hierarchy.mountPoint;
      for (const part of path.slice(1).split("/")) {
        const parent = directory;
        directory = `${directory}/${part}`;
        if (makeDirectory(directory)) initialize(hierarchy, parent, directory);
      }
    }
  }

  /**
   * Makes a group below an existing one for no other purpose than ending its members together: on v1
   * under the freezer alone.
   *
   * @returns false on a node without a freezer, where there is no such group
   * @throws {Deno.errors.NotFound} the group above does not exist
   */
  createKillable(path: string): boolean {
    checkPath(path);
    if (this.#killable === undefined) return false;
    Deno.mkdirSync(`${this.#killable.mountPoint}${path}`, { mode: 0o755 });
    return true;
  }

  /** True if any hierarchy has the group. */
  exists(path: string): boolean {
    checkPath(path);
    return this.#groups(path).length > 0;
  }

  /** Names of the groups directly below one, as far as their members could be ended. */
  children(path: string): string[] {
    checkPath(path);
    return this.#killable === undefined ? [] : childrenOf(`${this.#killable.mountPoint}${path}`);
  }

  /** Pids in the group and in all groups below it. */
  pids(path: string): number[] {
    checkPath(path);
    const below = this.#groups(path).flatMap(({ directory }) => groupsBelow(directory));
    return [...new Set(below.flatMap(pidsOf))];
  }

  /**
   * Ends every process in the group and below it, frozen ones and those just being started included,
   * and removes the group. Once it is gone nothing can be started in it. Succeeds if there is none.
   *
   * @throws {UnavailableError} processes are left after the time: in an uninterruptible wait. May be
   *   repeated.
   */
  async destroy(path: string, timeoutMs: number): Promise<void> {
    checkPath(path);
    const giveUpAtMs = performance.now() + timeoutMs;
    while (!this.#removed(path)) {
      await this.#kill(path);
      if (this.#removed(path)) return;
      if (performance.now() > giveUpAtMs) {
        throw new UnavailableError(
          `Processes in cgroup ${shown(path)} did not end within ${timeoutMs} ms of being killed`,
          { path, value: this.pids(path).slice(0, 8).join(" ") },
        );
      }
      await pause(SETTLE_STEP_MS);
    }
  }

  /** Removes a group; its members go on in the group above. Leaves it if they cannot be moved. */
  dissolve(path: string): void {
    checkPath(path);
    for (let round = 0; !this.#removed(path) && round < ROUNDS_OF_MOVING; round++) {
      for (const { directory } of this.#groups(path)) {
        const parent = directory.slice(0, directory.lastIndexOf("/"));
        // One may have ended meanwhile, or the group above may be gone with it.
        for (const pid of pidsOf(directory)) tryWrite(`${parent}/cgroup.procs`, String(pid));
      }
    }
  }

  /** Removes those groups, but none below them, that nothing is in; what is in use stays. */
  removeEmpty(paths: readonly string[]): void {
    for (const path of [...paths].sort((a, b) => b.length - a.length)) {
      checkPath(path);
      for (const { directory } of this.#groups(path)) removeDirectory(directory);
    }
  }

  /** Lets a frozen group and all below it run again; nothing happens to one that is not frozen. */
  thaw(path: string): void {
    checkPath(path);
    if (this.#killable === undefined) return;
    const { file, thawed } = FREEZER[this.#killable.version];
    for (const group of groupsBelow(`${this.#killable.mountPoint}${path}`)) {
      if (readText(`${group}/${file}`)?.trim() !== thawed) tryWrite(`${group}/${file}`, thawed);
    }
  }

  /**
   * How often the kernel killed a process of the group, or below it, for lack of memory; undefined if
   * there is no such group or no memory controller that tells.
   */
  oomKills(path: string): number | undefined {
    const directory = this.directoryOf(path, "memory");
    if (directory === undefined) return undefined;
    const counts = (this.version === 2
      // The file of v2 counts for all groups below.
      ? [readText(`${directory}/memory.events`)]
      : groupsBelow(directory).map((group) => readText(`${group}/memory.oom_control`)))
      .map((text) => /^oom_kill (\d+)$/m.exec(text ?? "")?.[1])
      .filter((count) => count !== undefined);
    return counts.length === 0 ? undefined : counts.reduce((sum, count) => sum + Number(count), 0);
  }

  /** The group's directory in the hierarchy that has a controller; undefined without one. */
  directoryOf(path: string, controller: string): string | undefined {
    checkPath(path);
    const hierarchy = this.#layout.hierarchies.find(({ controllers }) =>
      controllers.includes(controller)
    );
    return hierarchy === undefined ? undefined : `${hierarchy.mountPoint}${path}`;
  }

  /** Content of a controller's file, without the line end; undefined if there is none to read. */
  read(path: string, controller: string, file: string): string | undefined {
    const directory = this.directoryOf(path, controller);
    return directory === undefined ? undefined : readText(`${directory}/${file}`)?.trimEnd();
  }

  /** @throws {FailedPreconditionError} there is no such file, or the kernel refuses the value */
  write(path: string, controller: string, file: string, value: string): void {
    const directory = this.directoryOf(path, controller);
    try {
      if (directory === undefined) throw new Error(`there is no controller ${controller}`);
      Deno.writeTextFileSync(`${directory}/${file}`, value, { create: false });
    } catch (cause) {
      throw new FailedPreconditionError(
        `${file} of cgroup ${shown(path)} cannot be set to ${shown(value)}`,
        { path: `${directory ?? path}/${file}`, value, cause },
      );
    }
  }

  #groups(path: string): Group[] {
    return this.#layout.hierarchies
      .map((hierarchy) => ({ hierarchy, directory: `${hierarchy.mountPoint}${path}` }))
      .filter(({ directory }) => isDirectory(directory));
  }

  /** Removes the group with those below it, deepest first; true if it is gone everywhere. */
  #removed(path: string): boolean {
    let gone = true;
    for (const { directory } of this.#groups(path)) {
      for (const group of groupsBelow(directory).reverse()) {
        if (!removeDirectory(group)) gone = false;
      }
    }
    return gone;
  }

  /** Sends SIGKILL to every member once. */
  async #kill(path: string): Promise<void> {
    const missed = this.#groups(path).filter(({ hierarchy, directory }) =>
      // Takes those that are being forked, and works on frozen ones; v1 has no such file.
      hierarchy.version === 1 || !tryWrite(`${directory}/cgroup.kill`, "1")
    );
    if (missed.length === 0) return;
    try {
      // Frozen first, so that nothing forks away between reading the list and killing.
      await this.#freeze(path);
      for (const pid of this.pids(path)) this.#sendKill(pid);
    } finally {
      // On v1 the signal acts at the thaw, also on what somebody else froze.
      this.thaw(path);
    }
  }

  async #freeze(path: string): Promise<void> {
    if (this.#killable === undefined) return;
    const { version, mountPoint } = this.#killable;
    const { file, frozen } = FREEZER[version];
    const group = `${mountPoint}${path}`;
    if (!tryWrite(`${group}/${file}`, frozen)) return;
    const isFrozen = (): boolean => {
      if (version === 1) return readText(`${group}/${file}`)?.trim() !== "FREEZING";
      return /^frozen 1$/m.test(readText(`${group}/cgroup.events`) ?? "frozen 1");
    };
    const untilMs = performance.now() + FREEZE_MS;
    while (!isFrozen() && performance.now() < untilMs) await pause(FREEZE_STEP_MS);
  }

  #sendKill(pid: number): void {
    try {
      this.#kernel.kill(pid, SIGKILL);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error; // it has just ended
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

function childrenOf(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)]
      .filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** The group and all groups below it, parents first. */
function groupsBelow(directory: string): string[] {
  const groups = [directory];
  for (const group of groups) {
    for (const name of childrenOf(group)) groups.push(`${group}/${name}`);
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
    return undefined; // the group is gone, or the controller does not exist
  }
}

/** False if the file is missing or the kernel refuses; the caller looks at the effect. */
function tryWrite(path: string, value: string): boolean {
  try {
    Deno.writeTextFileSync(path, value, { create: false });
    return true;
  } catch {
    return false;
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
