/**
 * New limits for a container that runs or waits to be started: checked against what the kernel says
 * now, recorded as begun, set by the runtime, read back and recorded as the kernel took them.
 *
 * @module
 */
import { FailedPreconditionError } from "../errors/mod.ts";
import type { ContainerId } from "../model/mod.ts";
import { buildResourceUpdate, type ResourceUpdate, type ResourceUpdateInputs } from "../oci/mod.ts";
import type { LinuxContainerResources } from "../proto/mod.ts";
import type { ContainerLimits, ContainerRuntime } from "../runtime/mod.ts";
import type { StepRunner } from "../state/steps.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type ContainerRecord, isLive, type LiveContainer } from "./container.ts";
import {
  limitsInForce,
  type RecordedLimits,
  replacedValues,
  withUpdate,
} from "./container_limits.ts";
import { POD_DEADLINES } from "./deadlines.ts";
import type { KeyedMutex } from "./mutex.ts";
import type { PodRegistry } from "./registry.ts";

export interface ContainerUpdaterOptions {
  readonly registry: PodRegistry;
  readonly runner: StepRunner;
  readonly runtime: Pick<ContainerRuntime, "limits" | "unreclaimableMemory" | "update">;
  /** Held per container while its state changes. */
  readonly mutex: KeyedMutex;
  readonly node: ResourceUpdateInputs["node"];
  /** Least memory limit of a container of the handler. */
  readonly minMemoryBytes: (handler: string) => bigint;
  readonly log: Logger;
}

const UPDATE = "update-container";

export class ContainerUpdater {
  readonly #options: ContainerUpdaterOptions;

  constructor(options: ContainerUpdaterOptions) {
    this.#options = options;
  }

  /** See {@link import("./service.ts").ContainerService.updateResources}. */
  async update(idOrPrefix: string, request: LinuxContainerResources): Promise<void> {
    const { registry, runner, mutex, log } = this.#options;
    const { id } = registry.requireContainer(idOrPrefix);
    using _ = await mutex.acquire(id);
    const record = requireLive(registry.requireContainer(id));
    const resources = this.#checked(record, request);
    if (Object.keys(resources).length === 0) return;
    const before = this.#kernelLimits(record, withUpdate(record.limits.asked, request));
    await runner.commit(UPDATE, "intent", () => {
      registry.putContainer({ ...record, limits: { ...record.limits, pending: request } });
    });
    try {
      await this.#apply(record, resources);
    } catch (error) {
      // What the kernel took of it before it refused is taken back.
      if (before !== undefined) {
        await this.#apply(record, replacedValues(resources, before)).catch((failure: unknown) => {
          log.warn("Some of a refused update stays in force", { id, error: failure });
        });
      }
      await this.#commit(record, record.limits.asked);
      throw error;
    }
    await this.#commit(record, withUpdate(record.limits.asked, request));
  }

  /** Ends an update that a restart cut off: it is made once more, or what there is of it is recorded. */
  async finish(id: ContainerId): Promise<void> {
    const { registry, mutex, log } = this.#options;
    using _ = await mutex.acquire(id);
    const record = registry.container(id);
    const pending = record?.limits.pending;
    if (record === undefined || pending === undefined || !isLive(record)) return;
    try {
      await this.#apply(record, this.#checked(record, pending));
    } catch (error) {
      log.warn("An interrupted update of limits was not made", { id, error });
    }
    await this.#commit(record, withUpdate(record.limits.asked, pending));
  }

  /** The limits of a container that was just made, as the kernel took them. */
  readBack(container: LiveContainer): RecordedLimits {
    const { asked, inForce } = container.limits;
    const kernel = this.#kernelLimits(container, asked);
    return { asked, inForce: kernel === undefined ? inForce : limitsInForce(asked, kernel) };
  }

  #checked(record: LiveContainer, request: LinuxContainerResources): ResourceUpdate {
    const { runtime, node, minMemoryBytes } = this.#options;
    const limits = this.#kernelLimits(record, request);
    const used = runtime.unreclaimableMemory(record.place);
    return buildResourceUpdate({
      request,
      current: {
        ...(limits?.memoryLimitBytes === undefined
          ? {}
          : { memoryLimitBytes: limits.memoryLimitBytes }),
        ...(used === undefined ? {} : { unreclaimableMemoryBytes: used }),
      },
      node,
      defaults: { minMemoryBytes: minMemoryBytes(record.place.handler) },
    });
  }

  #kernelLimits(
    { place, state }: LiveContainer,
    asked: LinuxContainerResources,
  ): ContainerLimits | undefined {
    return this.#options.runtime.limits(place, state.init, {
      pageSizes: asked.hugepageLimits.map(({ pageSize }) => pageSize),
      unified: Object.keys(asked.unified),
    });
  }

  async #apply({ id, place }: LiveContainer, resources: ResourceUpdate): Promise<void> {
    const { runner, runtime } = this.#options;
    await runner.run(UPDATE, id, [{
      name: "runtime-update",
      deadlineMs: POD_DEADLINES.updateMs,
      act: (_context: null, signal) => runtime.update(place, resources, signal),
    }], null);
  }

  async #commit(record: LiveContainer, asked: LinuxContainerResources): Promise<void> {
    const { registry, runner } = this.#options;
    const { inForce } = record.limits;
    const limits = this.readBack({ ...record, limits: { asked, inForce } });
    await runner.commit(UPDATE, "commit", () => registry.putContainer({ ...record, limits }));
  }
}

function requireLive(record: ContainerRecord): LiveContainer {
  if (isLive(record)) return record;
  throw new FailedPreconditionError(
    `Container ${record.id} is ${record.state.kind}: its limits cannot be changed`,
    {
      id: record.id,
      field: "container_id",
      remedy: "only a container that is created or running can be given other limits",
    },
  );
}
