/**
 * The cgroups of containers and of their execs: ending everything inside, counting kills for lack of
 * memory, removing. For cgroup v2 and for v1 with its one tree a controller.
 *
 * Every call touches a few kernel files and takes well below a millisecond, so they are synchronous;
 * only waiting for processes to go is not.
 *
 * @module
 */
import { isErrno, UnavailableError } from "../errors/mod.ts";
import { SIGKILL } from "../sys/mod.ts";
import type { Kernel } from "../sys/kernel.ts";

/** Where the hierarchies are mounted. */
export type CgroupLayout =
  | { readonly version: 2; readonly root: string }
  | { readonly version: 1; readonly roots: readonly string[] };

const CGROUP_ROOT = "/sys/fs/cgroup";
const RETRY_MS = 2;
const ROUNDS_OF_MOVING = 5;

/** Reads the layout of this node once. */
export function detectCgroupLayout(root = CGROUP_ROOT): CgroupLayout {
  if (exists(`${root}/cgroup.controllers`)) return { version: 2, root };
  const roots = [...Deno.readDirSync(root)]
    .filter(({ name, isDirectory }) => isDirectory && exists(`${root}/${name}/cgroup.procs`))
    .map(({ name }) => `${root}/${name}`);
  return { version: 1, roots };
}

export class ContainerCgroups {
  readonly #layout: CgroupLayout;
  readonly #kernel: Kernel;

  constructor(layout: CgroupLayout, kernel: Kernel) {
    this.#layout = layout;
    this.#kernel = kernel;
  }

  /**
   * Makes a cgroup below a container's for one exec.
   *
   * @returns the name by which the runtime joins it, or undefined if the node has no freezer
   */
  makeExecCgroup(cgroupPath: string, name: string): string | undefined {
    const parent = this.#killable(cgroupPath);
    if (parent === undefined) return undefined;
    Deno.mkdirSync(`${parent}/${name}`);
    // On v1 the controller is named, or the runtime wants the directory under every one of them.
    return this.#layout.version === 2 ? name : `freezer:${name}`;
  }

  /**
   * Ends every process in an exec's cgroup and removes it. Once it is removed no process can come any
   * more, the runtime's own start of the command included.
   *
   * @throws {UnavailableError} processes are still there at the deadline
   */
  async endExecCgroup(cgroupPath: string, name: string, timeoutMs: number): Promise<void> {
    const parent = this.#killable(cgroupPath);
    if (parent !== undefined) await this.#killAndRemove(`${parent}/${name}`, timeoutMs);
  }

  /**
   * Removes the cgroup of an exec that has ended; what it left running goes on in the container's own.
   */
  releaseExecCgroup(cgroupPath: string, name: string): void {
    const parent = this.#killable(cgroupPath);
    if (parent === undefined) return;
    const cgroup = `${parent}/${name}`;
    for (let round = 0; !removed(cgroup) && round < ROUNDS_OF_MOVING; round++) {
      for (const pid of processesOf(cgroup)) moveProcess(pid, parent);
    }
  }

  /** Names of the cgroups directly below a container's that start with `prefix`. */
  execCgroups(cgroupPath: string, prefix: string): string[] {
    const parent = this.#killable(cgroupPath);
    if (parent === undefined) return [];
    return childrenOf(parent).filter((name) => name.startsWith(prefix));
  }

  /**
   * Ends every process of a container, frozen ones too, and removes its cgroups. Succeeds for what
   * is gone.
   *
   * @throws {UnavailableError} processes are still there at the deadline
   */
  async remove(cgroupPath: string, timeoutMs: number): Promise<void> {
    for (const directory of this.#directories(cgroupPath)) {
      await this.#killAndRemove(directory, timeoutMs);
    }
  }

  /** How often the kernel killed a process of the container for lack of memory; 0 if unknown. */
  oomKills(cgroupPath: string): number {
    const file = this.#layout.version === 2
      ? `${this.#layout.root}${cgroupPath}/memory.events`
      : `${this.#root("memory") ?? "/nonexistent"}${cgroupPath}/memory.oom_control`;
    return Number(/^oom_kill (\d+)$/m.exec(readText(file) ?? "")?.[1] ?? 0);
  }

  /** The container's cgroup in the hierarchy through which processes can be found and killed. */
  #killable(cgroupPath: string): string | undefined {
    const root = this.#layout.version === 2 ? this.#layout.root : this.#root("freezer");
    return root === undefined ? undefined : `${root}${cgroupPath}`;
  }

  #root(controller: string): string | undefined {
    if (this.#layout.version === 2) return this.#layout.root;
    return this.#layout.roots.find((root) => root.endsWith(`/${controller}`));
  }

  /** Freezer first: what it ends is gone from the others. */
  #directories(cgroupPath: string): string[] {
    const killable = this.#killable(cgroupPath);
    const all = this.#layout.version === 2
      ? [`${this.#layout.root}${cgroupPath}`]
      : this.#layout.roots.map((root) => `${root}${cgroupPath}`);
    return [...new Set([...(killable === undefined ? [] : [killable]), ...all])];
  }

  async #killAndRemove(directory: string, timeoutMs: number): Promise<void> {
    const giveUp = performance.now() + timeoutMs;
    while (!removed(directory)) {
      this.#killAll(directory);
      if (removed(directory)) return;
      if (performance.now() > giveUp) {
        throw new UnavailableError(
          `Processes in ${directory} did not end within ${timeoutMs} ms of being killed`,
          { path: directory, value: processesOf(directory).join(" ") },
        );
      }
      // The kernel tells of an empty v1 cgroup only through a release agent, so look again shortly.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Kills everything in a cgroup and in the cgroups below it; what was frozen runs into it. */
  #killAll(directory: string): void {
    const v2 = this.#layout.version === 2;
    const freezer = v2 ? "cgroup.freeze" : "freezer.state";
    const [frozen, thawed] = v2 ? ["1", "0"] : ["FROZEN", "THAWED"];
    const cgroups = [directory, ...descendants(directory)];
    if (!v2 || !write(`${directory}/cgroup.kill`, "1")) {
      // Frozen first, so that nothing forks away between reading the list and killing.
      write(`${directory}/${freezer}`, frozen);
      for (const cgroup of cgroups) {
        for (const pid of processesOf(cgroup)) this.#sendKill(pid);
      }
    }
    for (const cgroup of cgroups) write(`${cgroup}/${freezer}`, thawed);
  }

  #sendKill(pid: number): void {
    try {
      this.#kernel.kill(pid, SIGKILL);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error; // it has just ended
    }
  }
}

function moveProcess(pid: number, to: string): void {
  // It may have ended meanwhile (ESRCH), or the container's own cgroup may be gone with it.
  write(`${to}/cgroup.procs`, String(pid));
}

function processesOf(directory: string): number[] {
  const text = readText(`${directory}/cgroup.procs`) ?? "";
  // Processes outside our PID namespace are shown as 0.
  return text.split("\n").map(Number).filter((pid) => pid > 0);
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

/** Deepest last. */
function descendants(directory: string): string[] {
  return childrenOf(directory).flatMap((name) => {
    const child = `${directory}/${name}`;
    return [child, ...descendants(child)];
  });
}

/** Removes a cgroup with those below it; true if it is gone. */
function removed(directory: string): boolean {
  for (const cgroup of [directory, ...descendants(directory)].reverse()) {
    try {
      Deno.removeSync(cgroup);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) continue;
      if (cgroup === directory) return false; // EBUSY: processes are inside
    }
  }
  return true;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false; // whatever hides it, it cannot be used
  }
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined; // the cgroup is gone, or the controller does not exist
  }
}

/** False if the file is missing or the kernel refuses. */
function write(path: string, text: string): boolean {
  try {
    Deno.writeTextFileSync(path, text, { create: false });
    return true;
  } catch {
    return false; // the callers look at what became of it
  }
}
