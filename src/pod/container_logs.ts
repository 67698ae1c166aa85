/**
 * Where containers' logs go.
 *
 * @module
 */
import {
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  kindOfErrno,
  shown,
} from "../errors/mod.ts";
import type { ContainerId } from "../model/mod.ts";
import type { ContainerConfig } from "../proto/mod.ts";
import type { PodLayout } from "./layout.ts";
import type { SandboxRecord } from "./sandbox.ts";

/** The kernel's limits of a path and of one name in it, PATH_MAX and NAME_MAX, in bytes. */
const PATH_LIMIT_BYTES = 4_095;
const NAME_LIMIT_BYTES = 255;
/** conmon opens a log anew under its name with this behind it. */
const REOPENED = ".tmp";

/** Log files of containers, below the pod's log directory. */
export class ContainerLogs {
  readonly #layout: PodLayout;

  constructor(layout: PodLayout) {
    this.#layout = layout;
  }

  /**
   * `<log_directory>/<log_path>`; without the one or the other `<log_dir>/<pod id>` and `<id>.log`.
   *
   * @throws {InvalidArgumentError} `log_path` leads out of the pod's log directory, or is too long with it
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
    const path = `${directory.replace(/\/+$/, "")}/${relative}`;
    checkLength(path);
    return path;
  }

  /**
   * Makes the directory (0700) and takes a dangling link at the path away, as CRI-O does.
   *
   * @throws {FailedPreconditionError} no file can be there, because of what is there already
   */
  async prepare(logPath: string): Promise<void> {
    const directory = logPath.slice(0, logPath.lastIndexOf("/"));
    try {
      await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
      if (await isDanglingLink(logPath)) await Deno.remove(logPath);
      if ((await Deno.stat(logPath).catch(noneIfAbsent))?.isDirectory === true) {
        throw refused(logPath, "a directory is there");
      }
    } catch (error) {
      if (error instanceof FailedPreconditionError || isShortage(error)) throw error;
      throw refused(logPath, errorMessage(error), error);
    }
  }
}

function checkLength(path: string): void {
  const bytes = new TextEncoder().encode(path + REOPENED).length;
  const names = (path + REOPENED).split("/").map((name) => new TextEncoder().encode(name).length);
  if (bytes <= PATH_LIMIT_BYTES && Math.max(...names) <= NAME_LIMIT_BYTES) return;
  throw new InvalidArgumentError(
    `config.log_path makes the path ${shown(path)}, which is too long for the kernel: it takes ` +
      `${PATH_LIMIT_BYTES} bytes, ${NAME_LIMIT_BYTES} in one name, and reopening adds ${REOPENED}`,
    { field: "config.log_path", value: path, remedy: "give a shorter path" },
  );
}

function refused(path: string, why: string, cause?: unknown): FailedPreconditionError {
  return new FailedPreconditionError(
    `The container's log ${shown(path)} cannot be written: ${why}`,
    {
      field: "config.log_path",
      path,
      remedy: "remove what is in the way, or give another log_path",
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

/** A full disk is no fault of the path. */
function isShortage(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" && kindOfErrno(code) === "resource_exhausted";
}

function noneIfAbsent(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
  return undefined;
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
