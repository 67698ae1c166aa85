/**
 * Where containers' logs go.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { ContainerId } from "../model/mod.ts";
import type { ContainerConfig } from "../proto/mod.ts";
import type { PodLayout } from "./layout.ts";
import type { SandboxRecord } from "./sandbox.ts";

/** Log files of containers, below the pod's log directory. */
export class ContainerLogs {
  readonly #layout: PodLayout;

  constructor(layout: PodLayout) {
    this.#layout = layout;
  }

  /**
   * `<log_directory>/<log_path>`; without the one or the other `<log_dir>/<pod id>` and `<id>.log`.
   *
   * @throws {InvalidArgumentError} `log_path` leads out of the pod's log directory
   */
  pathOf(id: ContainerId, sandbox: SandboxRecord, config: ContainerConfig): string {
    const directory = sandbox.config.logDirectory || this.#layout.defaultLogDir(sandbox.id);
    const relative = config.logPath || `${id}.log`;
    if (relative.startsWith("/") || relative.split("/").includes("..")) {
      throw new InvalidArgumentError(
        `config.log_path ${shown(relative)} leads out of the pod's log directory`,
        { field: "config.log_path", value: relative, remedy: "give a relative path without .." },
      );
    }
    return `${directory.replace(/\/+$/, "")}/${relative}`;
  }

  /** Makes the directory (0700) and takes a dangling link at the path away, as CRI-O does. */
  async prepare(logPath: string): Promise<void> {
    const directory = logPath.slice(0, logPath.lastIndexOf("/"));
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    if (await isDanglingLink(logPath)) await Deno.remove(logPath);
  }
}

async function isDanglingLink(path: string): Promise<boolean> {
  try {
    if (!(await Deno.lstat(path)).isSymlink) return false;
    await Deno.stat(path);
    return false;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return await Deno.lstat(path).then(() => true, () => false);
  }
}
