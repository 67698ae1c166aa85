/**
 * How containers end: each live container is watched from the moment it has a process, across our
 * own restarts, and its end is committed before anybody hears of it.
 *
 * @module
 */
import type { ContainerId } from "../model/mod.ts";
import type { ContainerExit, ContainerRuntime } from "../runtime/containers_runtime.ts";
import type { Logger } from "../telemetry/mod.ts";
import { containerIn, type ContainerState, isLive, type LiveContainer } from "./container.ts";
import type { KeyedMutex } from "./mutex.ts";
import { ownsPidNamespace } from "./pid_namespace.ts";
import type { PodRegistry } from "./registry.ts";

export interface ExitTrackerOptions {
  readonly registry: PodRegistry;
  readonly runtime: Pick<ContainerRuntime, "watchExit" | "endProcesses">;
  /** Held per container while its state changes. */
  readonly mutex: KeyedMutex;
  readonly log: Logger;
  /** Called after the exit has been committed. */
  readonly onExited: (id: ContainerId) => void;
}

interface Watch {
  readonly handle: Disposable;
  readonly exited: PromiseWithResolvers<void>;
}

export class ExitTracker implements Disposable {
  readonly #options: ExitTrackerOptions;
  readonly #watches = new Map<ContainerId, Watch>();
  /** Those that were sent SIGKILL from here. */
  readonly #killed = new Set<ContainerId>();

  constructor(options: ExitTrackerOptions) {
    this.#options = options;
  }

  /** Watches a live container; an end that has already come is reported in a later turn. */
  watch(container: LiveContainer): void {
    const { id, place, state } = container;
    if (this.#watches.has(id)) return;
    const exited = Promise.withResolvers<void>();
    const handle = this.#options.runtime.watchExit(place, state, (exit) => {
      this.#record(id, exit).then(exited.resolve, (error: unknown) => {
        // The record stays live; waiters run into their own deadlines and the next start looks again.
        this.#options.log.error("The end of a container could not be recorded", { id, error });
      });
    });
    this.#watches.set(id, { handle, exited });
  }

  /** Resolves once the container's end is committed; at once if it is not watched. */
  ended(id: ContainerId): Promise<void> {
    return this.#watches.get(id)?.exited.promise ?? Promise.resolve();
  }

  /**
   * Says that a container is being killed from here: exit code 137 means this then, and not a lack of
   * memory that some child of it may have suffered before.
   */
  expectKill(id: ContainerId): void {
    this.#killed.add(id);
  }

  /** Ends the watch of a container that is being removed. */
  forget(id: ContainerId): void {
    this.#killed.delete(id);
    this.#watches.get(id)?.handle[Symbol.dispose]();
    this.#watches.delete(id);
  }

  [Symbol.dispose](): void {
    for (const { handle } of this.#watches.values()) handle[Symbol.dispose]();
    this.#watches.clear();
  }

  async #record(id: ContainerId, exit: ContainerExit): Promise<void> {
    const { registry, mutex, log, onExited } = this.#options;
    await this.#endLeftBehind(id);
    {
      using _ = await mutex.acquire(id);
      const record = registry.container(id);
      if (record === undefined || !isLive(record)) return;
      const killedFromHere = this.#killed.delete(id);
      const oomKilled = exit.oomKilled && !killedFromHere;
      registry.putContainer(containerIn(record, exitedState(record, { ...exit, oomKilled })));
    }
    log.info("Container ended", { id, exitCode: exit.exitCode, oomKilled: exit.oomKilled });
    onExited(id);
    this.#watches.delete(id);
  }

  /**
   * In a PID namespace that is not the container's own, what its first process started does not end
   * with it. Nobody is told of an end while something still runs.
   */
  async #endLeftBehind(id: ContainerId): Promise<void> {
    const { registry, runtime, log } = this.#options;
    const record = registry.container(id);
    if (record === undefined || !isLive(record)) return;
    const sandbox = registry.sandbox(record.sandboxId);
    if (sandbox !== undefined && ownsPidNamespace({ config: record.config, sandbox })) return;
    await runtime.endProcesses(record.place).catch((error: unknown) => {
      // Its removal tries again and fails if they stay; the end itself must be known.
      log.error("Processes of an ended container do not end", { id, error });
    });
  }
}

/** The state of a container that has ended as told. */
export function exitedState(
  record: LiveContainer,
  exit: ContainerExit,
): Extract<ContainerState, { kind: "exited" }> {
  const startedAtNs = record.state.kind === "running" ? record.state.startedAtNs : 0n;
  const beganAtNs = startedAtNs || record.createdAtNs;
  return {
    kind: "exited",
    startedAtNs,
    // File times come from a coarser clock than ours and may lie a few milliseconds behind; and the
    // clock may have been set back.
    finishedAtNs: exit.finishedAtNs > beganAtNs ? exit.finishedAtNs : beganAtNs + 1n,
    exitCode: exit.exitCode,
    reason: reasonOf(exit),
    message: exit.monitorLost ? "the monitor died before the container; its exit code is lost" : "",
  };
}

function reasonOf(exit: ContainerExit): "Completed" | "Error" | "OOMKilled" | "MonitorLost" {
  if (exit.monitorLost) return "MonitorLost";
  if (exit.oomKilled && exit.exitCode === 137) return "OOMKilled";
  return exit.exitCode === 0 ? "Completed" : "Error";
}
