/**
 * Host paths that containers mount. They are not ours and may be on a dead network file system, so
 * they are only touched by a process that can be abandoned.
 *
 * @module
 */
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import { normalPath } from "../model/mod.ts";
import type { Mount } from "../proto/mod.ts";

/** A mount of the request with its source as it really is. */
export interface ResolvedMount {
  readonly mount: Mount;
  /** Absolute, without symbolic links. */
  readonly source: string;
}

/** Calls on paths that may hang; all throw {@link DeadlineExceededError} when `signal` fires. */
export interface AbandonableFiles {
  /** Canonical path, or undefined if there is nothing. */
  realPath(path: string, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Where a path leads whose links do not lead out of `root`, the root in front.
   *
   * @throws {FailedPreconditionError} `root` does not exist
   */
  resolveBelow(
    root: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly path: string; readonly exists: boolean }>;
  /** Makes a directory and its parents, mode 0755. */
  makeDirectory(path: string, signal: AbortSignal): Promise<void>;
}

export interface HostPathsOptions {
  readonly files: AbandonableFiles;
  /** `bind_mount_prefix`: where the root is that requests speak of; empty for our own. */
  readonly prefix: string;
  /** `absent_mount_sources_to_reject`: missing sources that are not made. */
  readonly rejectAbsent: readonly string[];
}

export class HostPaths {
  readonly #files: AbandonableFiles;
  /** Empty if it is the root itself. */
  readonly #prefix: string;
  readonly #rejectAbsent: ReadonlySet<string>;

  constructor({ files, prefix, rejectAbsent }: HostPathsOptions) {
    this.#files = files;
    this.#prefix = prefix === "" || normalPath(prefix) === "/" ? "" : prefix;
    this.#rejectAbsent = new Set(rejectAbsent.map((path) => normalPath(path) ?? path));
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
    const { place, source } = await this.#find(path, signal);
    if (source !== undefined) return source;
    // By the name of the request or by that on this node, as CRI-O compares it.
    const names = [path, this.#prefix + path].map((name) => normalPath(name) ?? name);
    if (names.some((name) => this.#rejectAbsent.has(name))) {
      throw new FailedPreconditionError(`${field} ${shown(path)} does not exist`, {
        field,
        value: path,
        remedy: "make it, or take it out of absent_mount_sources_to_reject",
      });
    }
    await this.#files.makeDirectory(place, signal);
    return (await this.#find(path, signal)).source ?? place;
  }

  /** Where a source is, or would be: `source` is undefined if there is none. */
  async #find(
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly place: string; readonly source: string | undefined }> {
    if (this.#prefix === "") {
      return { place: path, source: await this.#files.realPath(path, signal) };
    }
    const { path: place, exists } = await this.#files.resolveBelow(this.#prefix, path, signal);
    return { place, source: exists ? place : undefined };
  }
}
