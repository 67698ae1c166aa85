/**
 * Host paths that containers mount. They are not ours and may be on a dead network file system, so
 * they are only touched by a process that can be abandoned.
 *
 * @module
 */
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import type { Mount } from "../proto/mod.ts";

/** A mount of the request with its source as it really is. */
export interface ResolvedMount {
  readonly mount: Mount;
  /** Absolute, without symbolic links. */
  readonly source: string;
}

/** Calls on paths that may hang. */
export interface AbandonableFiles {
  /** Canonical path, or undefined if there is nothing. @throws {DeadlineExceededError} `signal` fired */
  realPath(path: string, signal: AbortSignal): Promise<string | undefined>;
  /** Makes a directory and its parents, mode 0755. */
  makeDirectory(path: string, signal: AbortSignal): Promise<void>;
}

export class HostPaths {
  readonly #files: AbandonableFiles;
  readonly #rejectAbsent: ReadonlySet<string>;

  /** @param rejectAbsent `absent_mount_sources_to_reject`: missing sources that are not made */
  constructor(files: AbandonableFiles, rejectAbsent: readonly string[]) {
    this.#files = files;
    this.#rejectAbsent = new Set(rejectAbsent);
  }

  /**
   * Resolves links; a missing source is made as a directory, as CRI-O and the kubelet expect.
   *
   * @throws {FailedPreconditionError} the source is missing and may not be made
   */
  async resolve(mounts: readonly Mount[], signal: AbortSignal): Promise<ResolvedMount[]> {
    return await Promise.all(
      mounts.map(async (mount, index) => ({
        mount,
        source: await this.#source(mount.hostPath, `config.mounts[${index}].host_path`, signal),
      })),
    );
  }

  async #source(path: string, field: string, signal: AbortSignal): Promise<string> {
    const found = await this.#files.realPath(path, signal);
    if (found !== undefined) return found;
    if (this.#rejectAbsent.has(path)) {
      throw new FailedPreconditionError(`${field} ${shown(path)} does not exist`, {
        field,
        value: path,
        remedy: "make it, or take it out of absent_mount_sources_to_reject",
      });
    }
    await this.#files.makeDirectory(path, signal);
    return await this.#files.realPath(path, signal) ?? path;
  }
}
