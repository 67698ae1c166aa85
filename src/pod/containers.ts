/**
 * The life of containers, from their start to their removal; how they come to be is in
 * `container_creator.ts`.
 *
 * @module
 */
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import type { Clock, ContainerId, SandboxId } from "../model/mod.ts";
import type {
  ContainerFilter,
  ContainerStatusResponse,
  LinuxContainerResources,
} from "../proto/mod.ts";
import { type ContainerRuntime, type ExecResult } from "../runtime/mod.ts";
import type { StepRunner } from "../state/steps.ts";
import type { Snapshots } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { containerIn, type ContainerRecord, isLive, requireRunning } from "./container.ts";
import type { ContainerCreator } from "./container_creator.ts";
import { processOf, specOf } from "./container_spec.ts";
import { containerInfo, containerStatus } from "./container_status.ts";
import type { ContainerStopper } from "./container_stop.ts";
import { POD_DEADLINES, REMOVE_GRACE_MS } from "./deadlines.ts";
import type { ContainerUpdater } from "./container_update.ts";
import type { ExitTracker } from "./exits.ts";
import { containerMatches } from "./listing.ts";
import type { KeyedMutex } from "./mutex.ts";
import type { PodRegistry } from "./registry.ts";
import { REAPED_KINDS } from "./resources.ts";
import { requireReady } from "./sandbox.ts";
import type { ContainerService, CreateContainerRequest, EncodedItems } from "./service.ts";

const START = "start-container";
const STOP = "stop-container";
const REMOVE = "remove-container";

export interface ContainersOptions {
  readonly registry: PodRegistry;
  readonly runner: StepRunner;
  readonly snapshots: Pick<Snapshots, "unmount">;
  readonly runtime: ContainerRuntime;
  readonly exits: ExitTracker;
  readonly creator: ContainerCreator;
  readonly stopper: ContainerStopper;
  readonly updater: ContainerUpdater;
  readonly mutex: KeyedMutex;
  readonly clock: Clock;
  readonly log: Logger;
  /** At most this much of an exec's two streams together is returned. */
  readonly execOutputLimitBytes: number;
}

export class Containers implements ContainerService {
  readonly #options: ContainersOptions;

  constructor(options: ContainersOptions) {
    this.#options = options;
  }

  create(request: CreateContainerRequest): Promise<ContainerId> {
    return this.#options.creator.create(request);
  }

  async start(idOrPrefix: string): Promise<void> {
    const { id } = this.#options.registry.requireContainer(idOrPrefix);
    const failure = await this.#startLocked(id);
    if (failure === undefined) return;
    await this.#removeFailed(id, failure.error);
    throw failure.error;
  }

  async stop(idOrPrefix: string, timeoutMs: number): Promise<void> {
    requireId(idOrPrefix);
    const record = this.#options.registry.findContainer(idOrPrefix);
    if (record === undefined) return;
    await this.#options.runner.commit(
      STOP,
      "stop",
      () => this.#options.stopper.stop(record, timeoutMs),
    );
  }

  async remove(idOrPrefix: string): Promise<void> {
    requireId(idOrPrefix);
    const record = this.#options.registry.findContainer(idOrPrefix);
    if (record !== undefined) await this.removeRecorded(record.id, REMOVE_GRACE_MS);
  }

  status(idOrPrefix: string, verbose: boolean): ContainerStatusResponse {
    const record = this.#options.registry.requireContainer(idOrPrefix);
    return {
      status: containerStatus(record),
      info: verbose ? { info: JSON.stringify(this.#infoOf(record)) } : {},
    };
  }

  list(filter: ContainerFilter | undefined): EncodedItems {
    const { registry } = this.#options;
    const items: Uint8Array[] = [];
    for (const record of registry.containers()) {
      if (containerMatches(record, filter)) items.push(registry.encodedContainer(record));
    }
    return items;
  }

  async execSync(
    idOrPrefix: string,
    args: readonly string[],
    timeoutMs: number,
  ): Promise<ExecResult> {
    const { registry, runtime, execOutputLimitBytes } = this.#options;
    const record = requireRunning(registry.requireContainer(idOrPrefix), "run a command in it");
    return await runtime.execSync({
      place: record.place,
      args,
      process: processOf(record),
      timeoutMs,
      outputLimitBytes: execOutputLimitBytes,
    });
  }

  updateResources(idOrPrefix: string, resources: LinuxContainerResources): Promise<void> {
    return this.#options.updater.update(idOrPrefix, resources);
  }

  async reopenLog(idOrPrefix: string): Promise<void> {
    const { registry, runtime } = this.#options;
    const record = registry.requireContainer(idOrPrefix);
    if (!isLive(record)) {
      throw new FailedPreconditionError(
        `Container ${record.id} is ${record.state.kind}: its log cannot be reopened`,
        { id: record.id, field: "container_id", remedy: "nothing is written to it any more" },
      );
    }
    await runtime.reopenLog(record.place, record.state);
  }

  /** Ends every container of a sandbox; creations under way are waited for first. */
  async stopAll(sandbox: SandboxId, graceMs: number): Promise<void> {
    await this.#options.creator.settle(sandbox);
    await allOf(
      this.#options.registry.containersOf(sandbox).map((record) =>
        this.#options.stopper.stop(record, graceMs)
      ),
      `Not every container of sandbox ${sandbox} could be stopped`,
    );
  }

  async removeAll(sandbox: SandboxId): Promise<void> {
    await this.#options.creator.settle(sandbox);
    await allOf(
      this.#options.registry.containersOf(sandbox).map((record) =>
        this.removeRecorded(record.id, 0)
      ),
      `Not every container of sandbox ${sandbox} could be removed`,
    );
  }

  /** Removes a container in any committed state; also finishes a removal that a restart cut off. */
  async removeRecorded(id: ContainerId, graceMs: number): Promise<void> {
    const { registry, runner, creator, stopper, exits, mutex, log } = this.#options;
    const known = registry.container(id);
    if (known === undefined) return;
    await stopper.stop(known, graceMs);
    using _ = await mutex.acquire(id);
    const record = registry.container(id);
    if (record === undefined) return;
    if (record.state.kind !== "removing") {
      await runner.commit(REMOVE, "removing", () => {
        registry.putContainer(containerIn(record, { kind: "removing" }));
      });
    }
    exits.forget(id);
    await registry.settled("container", id);
    await runner.undo(REMOVE, id).catch((error: unknown) => {
      log.error("A removed container left something behind; it will be tried again", { id, error });
    });
    await runner.commit(REMOVE, "forget", () => registry.deleteContainer(id));
    creator.forget(id);
  }

  /**
   * Takes the runtime's part of an ended container away while nobody waits for it, so that its
   * removal need not.
   */
  async reap(id: ContainerId): Promise<void> {
    const { registry, runner, snapshots, mutex, log } = this.#options;
    using _ = await mutex.acquire(id);
    if (registry.container(id)?.state.kind !== "exited") return;
    try {
      await runner.undo("reap-container", id, REAPED_KINDS);
      await snapshots.unmount(id);
    } catch (error) {
      log.warn("An ended container was not taken down; its removal will try again", { id, error });
    }
  }

  /** Returns why the runtime could not start it; throws if it may not be started. */
  async #startLocked(id: ContainerId): Promise<{ readonly error: unknown } | undefined> {
    const { registry, runner, runtime, mutex, clock } = this.#options;
    using _ = await mutex.acquire(id);
    const record = registry.requireContainer(id);
    const { state } = record;
    if (state.kind !== "created") {
      throw new FailedPreconditionError(
        `Container ${id} is ${state.kind}: only a created container can be started`,
        { id, field: "container_id", remedy: "create a new container" },
      );
    }
    requireReady(registry.requireSandbox(record.sandboxId));
    const startedAtNs = clock.nowNs();
    try {
      await runner.run(START, id, [{
        name: "runtime-start",
        deadlineMs: POD_DEADLINES.startMs,
        act: (_context: null, signal) => runtime.start(record.place, signal),
      }], null);
    } catch (error) {
      return { error };
    }
    await runner.commit(START, "commit", () => {
      const { init, monitor } = state;
      registry.putContainer(containerIn(record, { kind: "running", init, monitor, startedAtNs }));
    });
    return undefined;
  }

  #infoOf(record: ContainerRecord): object {
    const timings = this.#options.creator.timingsOf(record.id);
    return containerInfo(record, { spec: specOf(record), timings });
  }

  /** What CRI-O does: a container whose start failed is taken away, the caller has the reason. */
  async #removeFailed(id: ContainerId, error: unknown): Promise<void> {
    const { log } = this.#options;
    log.warn("A container could not be started and is removed", { id, error });
    await this.removeRecorded(id, 0).catch((failure: unknown) => {
      log.error("A container that could not be started was not removed", { id, error: failure });
    });
  }
}

function requireId(id: string): void {
  if (id === "") {
    throw new InvalidArgumentError("container_id is empty", {
      field: "container_id",
      remedy: "give the id of a container or a unique prefix of it",
    });
  }
}

/** Waits for all and throws one error that holds every failure. */
async function allOf(work: readonly Promise<void>[], message: string): Promise<void> {
  const failures = (await Promise.allSettled(work)).flatMap((result) =>
    result.status === "rejected" ? [result.reason as unknown] : []
  );
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, message);
}
