/**
 * Looking at paths that are not ours: a hostPath may be a dead network mount, on which any call
 * waits for ever, and a thread in such a wait cannot be ended.
 *
 * What the kernel can answer from memory it answers at once (`RESOLVE_CACHED` never waits). Everything
 * else is asked by a short-lived program, which is left behind when it hangs.
 *
 * @module
 */
import {
  DeadlineExceededError,
  FailedPreconditionError,
  isErrno,
  PermissionDeniedError,
  shown,
  SyscallError,
} from "../errors/mod.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_DIRECTORY,
  O_PATH,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "./constants.ts";
import type { Fd, FileStat, Kernel } from "./kernel.ts";
import type { CommandResult, ProcessRunner } from "./process_runner.ts";

export interface ForeignStat {
  readonly type: FileStat["type"];
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Absolute, without links. */
  readonly realPath: string;
}

/** Where a path below a root leads, as {@link ForeignPaths.resolveBelow} finds it. */
export interface PathBelow {
  /** Absolute, with the root in front; without links as far as it exists. */
  readonly path: string;
  readonly exists: boolean;
}

/** One part of a path: a link and its target, something else, or nothing. */
type NodeAt = { readonly link: string } | "other" | "none";

export interface ForeignPathsOptions {
  readonly kernel: Kernel;
  readonly runner: ProcessRunner;
  /** For one question, not counting what the kernel knows at once. */
  readonly timeoutMs: number;
}

const AT_STATX_DONT_SYNC = 0x4000;
const OUTPUT_LIMIT = 16_384;
/** As the kernel has it for one path. */
const MAX_LINKS = 40;
/** Messages in English, so that "no such file" can be told from the rest. */
const ENV = { LC_ALL: "C", PATH: "/usr/bin:/bin" };

export class ForeignPaths {
  readonly #options: ForeignPathsOptions;

  constructor(options: ForeignPathsOptions) {
    this.#options = options;
  }

  /**
   * What an absolute path leads to, links followed; undefined if it leads nowhere.
   *
   * @throws {DeadlineExceededError} the file system did not answer; the program asking was abandoned
   * @throws {FailedPreconditionError} the path cannot be looked at: the system's words
   */
  async stat(path: string): Promise<ForeignStat | undefined> {
    const known = this.#cached(path);
    if (known !== "ask") return known;
    const answer = await this.#ask(path, "/usr/bin/stat", [
      "--dereference",
      "--printf=%f %u %g",
      "--",
      path,
    ]);
    if (answer === undefined) return undefined;
    const realPath = await this.#ask(path, "/usr/bin/realpath", ["--zero", "-e", "--", path]);
    if (realPath === undefined) return undefined;
    const [hexMode = "", uid, gid] = answer.split(" ");
    const mode = parseInt(hexMode, 16);
    return {
      type: TYPES[(mode >> 12) & 0o17] ?? "file",
      mode: mode & 0o7777,
      uid: Number(uid),
      gid: Number(gid),
      realPath: realPath.slice(0, -1),
    };
  }

  /**
   * Where an absolute path leads for a process whose root directory is `root`: links, absolute ones and
   * those with `..` included, never lead out of it.
   *
   * @throws {FailedPreconditionError} `root` does not exist, or the path has too many links
   * @throws as {@link stat}
   */
  async resolveBelow(root: string, path: string): Promise<PathBelow> {
    const known = this.#cachedBelow(root, path);
    if (known !== undefined) return { path: known, exists: true };
    const base = (await this.stat(root))?.realPath;
    if (base === undefined) {
      throw new FailedPreconditionError(`Directory ${shown(root)} does not exist`, { path: root });
    }
    const left = path.split("/").reverse();
    const found: string[] = [];
    let exists = true;
    for (let links = 0; left.length > 0;) {
      const part = left.pop() ?? "";
      if (part === "..") found.pop();
      if (part === "" || part === "." || part === "..") continue;
      const at = [base === "/" ? "" : base, ...found, part].join("/");
      const target: NodeAt = exists ? await this.#linkAt(at) : "none";
      if (typeof target === "string") {
        exists &&= target !== "none";
        found.push(part);
        continue;
      }
      if (++links > MAX_LINKS) {
        throw new FailedPreconditionError(`${shown(path)} has too many symbolic links`, { path });
      }
      if (target.link.startsWith("/")) found.length = 0;
      left.push(...target.link.split("/").reverse());
    }
    return { path: [base === "/" ? "" : base, ...found].join("/") || "/", exists };
  }

  /**
   * Makes a directory and its missing parents (these with mode 0755); an existing one stays as it is.
   *
   * @throws as {@link stat}
   */
  async makeDirectory(path: string, mode = 0o755): Promise<void> {
    if (this.#cachedDirectory(path)) return;
    const args = ["--parents", `--mode=${mode.toString(8)}`, "--", path];
    if (await this.#ask(path, "/bin/mkdir", args) === undefined) {
      throw new FailedPreconditionError(`Directory ${shown(path)} cannot be made: no such parent`, {
        path,
      });
    }
  }

  /**
   * Copies a file or a directory, links followed, owner root, to a path that does not exist. False if
   * there is nothing to copy.
   *
   * @throws as {@link stat}
   */
  async copy(path: string, destination: string): Promise<boolean> {
    if (await this.stat(path) === undefined) return false;
    const args = ["--recursive", "--dereference", "--preserve=mode", "--", path, destination];
    return await this.#ask(path, "/bin/cp", args) !== undefined;
  }

  /** Where the path leads if the kernel knows without waiting. */
  #cachedBelow(root: string, path: string): string | undefined {
    const { kernel } = this.#options;
    try {
      using top = kernel.openat2(AT_FDCWD, root, {
        flags: O_PATH | O_DIRECTORY,
        resolve: RESOLVE_CACHED,
      });
      using node = kernel.openat2(top.number, path, {
        flags: O_PATH,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED,
      });
      return kernel.readlinkat(AT_FDCWD, `/proc/self/fd/${node.number}`);
    } catch (error) {
      // Missing, perhaps, or not known: the way there has to be walked.
      if (error instanceof SyscallError) return undefined;
      throw error;
    }
  }

  /** What is at a path whose parents are no links. */
  async #linkAt(path: string): Promise<NodeAt> {
    const mode = await this.#ask(path, "/usr/bin/stat", ["--printf=%f", "--", path]);
    if (mode === undefined) return "none";
    if (TYPES[parseInt(mode, 16) >> 12] !== "symlink") return "other";
    const target = await this.#ask(path, "/usr/bin/readlink", ["--zero", "--", path]);
    return target === undefined ? "none" : { link: target.slice(0, -1) };
  }

  #cachedDirectory(path: string): boolean {
    const known = this.#cached(path);
    return known !== "ask" && known?.type === "directory";
  }

  /** `ask` if the kernel would have to wait for a disk or a network. */
  #cached(path: string): ForeignStat | undefined | "ask" {
    const { kernel } = this.#options;
    let opened: Fd;
    try {
      opened = kernel.openat2(AT_FDCWD, path, { flags: O_PATH, resolve: RESOLVE_CACHED });
    } catch (error) {
      return isErrno(error, "ENOENT", "ENOTDIR") ? undefined : "ask";
    }
    using node = opened;
    const stat = kernel.statx(node.number, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC);
    return {
      type: stat.type,
      mode: stat.mode,
      uid: stat.uid,
      gid: stat.gid,
      realPath: kernel.readlinkat(AT_FDCWD, `/proc/self/fd/${node.number}`),
    };
  }

  async #ask(path: string, program: string, args: string[]): Promise<string | undefined> {
    const { runner, timeoutMs } = this.#options;
    let result: CommandResult;
    try {
      result = await runner.run({
        path: program,
        args,
        env: ENV,
        timeoutMs,
        outputLimitBytes: OUTPUT_LIMIT,
      });
    } catch (error) {
      if (!(error instanceof DeadlineExceededError)) throw error;
      throw new DeadlineExceededError(
        `The file system of ${shown(path)} did not answer within ${timeoutMs} ms`,
        { path, remedy: "check whether it is a network mount whose server is gone", cause: error },
      );
    }
    if (result.exitCode === 0) return new TextDecoder().decode(result.stdout);
    const words = new TextDecoder().decode(result.stderr).trim();
    if (/No such file or directory|Not a directory$/m.test(words)) return undefined;
    const what = `${shown(path)} cannot be used: ${words.slice(words.lastIndexOf(": ") + 2)}`;
    throw /Permission denied/.test(words)
      ? new PermissionDeniedError(what, { path })
      : new FailedPreconditionError(what, { path });
  }
}

const TYPES: Readonly<Record<number, FileStat["type"]>> = {
  0o01: "fifo",
  0o02: "char",
  0o04: "directory",
  0o06: "block",
  0o10: "file",
  0o12: "symlink",
  0o14: "socket",
};
