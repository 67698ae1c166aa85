/**
 * The kernel objects and directories of pods: made here, undone from the record.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import type { Intent } from "../state/steps.ts";
import type { ResourceType, UndoContext } from "../state/journal.ts";
import type { Namespaces, PinnedNamespace } from "../sys/namespaces.ts";

/** What the resources need from `sys/`. */
export interface PodResourcePorts {
  readonly namespaces: Namespaces;
  readonly mounts: {
    mountTmpfs(path: string, options: { readonly sizeBytes: bigint; readonly mode: number }): void;
    /** Unmounts everything at and below the path; succeeds if nothing is mounted. */
    unmountTree(path: string): Promise<void>;
  };
  readonly trees: {
    /** Removes a directory of ours, never across a mount; succeeds if it is gone. */
    removeTree(path: string): Promise<void>;
  };
  readonly cgroups: {
    /** Those of the cgroup and its ancestors that do not exist under every controller, shallowest first. */
    missing(path: string): string[];
    /** Makes the cgroup and its ancestors under every controller. */
    create(path: string, signal: AbortSignal): Promise<void>;
    /**
     * Removes the cgroups that are empty, the deepest first; what is in use stays.
     *
     * @param isClaimed asked when the cgroup is about to go: whether somebody needs it, empty as it is
     */
    removeEmpty(
      paths: readonly string[],
      isClaimed: (path: string) => boolean,
      signal: AbortSignal,
    ): Promise<void>;
  };
  /** Cgroup for pods that name none; removed with the last of them. */
  readonly defaultCgroupParent: string;
  /** Cgroups of the pods that there are or that are being made, those being removed left out. */
  readonly cgroupsInUse: () => Iterable<{ readonly id: string; readonly cgroupParent: string }>;
}

const DIRECTORIES = "directories";
const NAMESPACES = "namespace-pins";
const SHM = "shm-mount";
const CGROUP = "cgroup";

/**
 * Kinds that end when a sandbox is stopped. Its directories stay until it is removed, and so does its
 * cgroup: those of its ended containers are still in there.
 */
export const STOPPED_KINDS = [SHM, NAMESPACES, "pid-namespace-holder"] as const;
/**
 * What of an ended container is taken down at once: its writable layer stays for its logs and files.
 */
export const REAPED_KINDS = ["runtime-container", NAMESPACES] as const;

export function directoriesIntent(paths: readonly string[]): Intent {
  return { kind: DIRECTORIES, payload: { paths } };
}

export function namespacesIntent(
  pins: Readonly<Partial<Record<PinnedNamespace, string>>>,
): Intent {
  return { kind: NAMESPACES, payload: { pins: Object.values(pins) } };
}

export function shmIntent(path: string): Intent {
  return { kind: SHM, payload: { path } };
}

/** @param missing what will have to be made, so that undoing leaves what others made */
export function cgroupIntent(path: string, missing: readonly string[]): Intent {
  return { kind: CGROUP, payload: { path, made: missing } };
}

/** Makes what the intents above announce. */
export class PodResources {
  readonly #ports: PodResourcePorts;
  /** Made for pods that have gone, and still there when they went. */
  readonly #madeCgroups = new Set<string>();

  constructor(ports: PodResourcePorts) {
    this.#ports = ports;
  }

  /** Private directories, parents included. */
  async makeDirectories(paths: readonly string[]): Promise<void> {
    for (const path of paths) await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  }

  /** `/dev/shm` of a pod. */
  async mountShm(path: string, sizeBytes: bigint): Promise<void> {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    this.#ports.mounts.mountTmpfs(path, { sizeBytes, mode: 0o1777 });
  }

  missingCgroups(path: string): string[] {
    return this.#ports.cgroups.missing(path);
  }

  makeCgroup(path: string, signal: AbortSignal): Promise<void> {
    return this.#ports.cgroups.create(path, signal);
  }

  /** How each kind is undone. */
  types(): readonly ResourceType<unknown>[] {
    const { mounts, trees, namespaces, cgroups, defaultCgroupParent, cgroupsInUse } = this.#ports;
    return [
      resourceType(DIRECTORIES, pathList("paths"), async (paths) => {
        for (const path of paths) await trees.removeTree(path);
      }),
      resourceType(NAMESPACES, pathList("pins"), async (pins) => {
        for (const pin of pins) await namespaces.release(pin);
      }),
      resourceType(SHM, (payload) => textOf(payload, "path"), async (path) => {
        await mounts.unmountTree(path);
      }),
      resourceType(CGROUP, cgroupOf, async ({ path, made }, context) => {
        const { resource: { owner }, sameBoot, signal } = context;
        // Ours went with the boot: what has the path now was made by somebody else, who needs it.
        if (!sameBoot) return;
        // Pods share parents: the one that made a parent may go before the one that finds it empty.
        for (const group of made) this.#madeCgroups.add(group);
        const above = [...this.#madeCgroups].filter((group) => isAtOrAbove(group, path));
        // A pod made anew has the name of its predecessor's cgroup: a late try must not take it away.
        const isClaimed = (group: string) =>
          [...cgroupsInUse()].some(({ id, cgroupParent }) =>
            id !== owner && isAtOrAbove(group, cgroupParent)
          );
        await cgroups.removeEmpty(
          [...new Set([defaultCgroupParent, ...above])],
          isClaimed,
          signal,
        );
        for (const gone of cgroups.missing(path)) this.#madeCgroups.delete(gone);
      }),
    ];
  }
}

function cgroupOf(payload: JsonObject): { readonly path: string; readonly made: string[] } {
  return { path: textOf(payload, "path"), made: pathList("made")(payload) };
}

function isAtOrAbove(group: string, path: string): boolean {
  return path === group || path.startsWith(`${group}/`);
}

function resourceType<P>(
  kind: string,
  parse: (payload: JsonObject) => P,
  undo: (payload: P, context: UndoContext) => Promise<void>,
): ResourceType<unknown> {
  return { kind, parse, undo: (payload, context) => undo(payload as P, context) };
}

function textOf(payload: JsonObject, key: string): string {
  const value = payload[key];
  if (typeof value !== "string" || !value.startsWith("/")) {
    throw new InternalError(`A recorded resource has no path ${key}`);
  }
  return value;
}

function pathList(key: string): (payload: JsonObject) => string[] {
  return (payload) => {
    const value = payload[key];
    if (!Array.isArray(value) || !value.every((path) => typeof path === "string")) {
      throw new InternalError(`A recorded resource has no list of paths ${key}`);
    }
    return value as string[];
  };
}
