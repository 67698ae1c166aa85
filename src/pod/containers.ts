/**
 * The life of containers.
 *
 * @module
 */
import {
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  NotFoundError,
  shown,
} from "../errors/mod.ts";
import type { ImageRecord, Images } from "../image/images.ts";
import {
  type Clock,
  containerCgroup,
  type ContainerId,
  newContainerId,
  type SandboxId,
} from "../model/mod.ts";
import { stopSignalOf } from "../oci/mod.ts";
import {
  type ContainerConfig,
  type ContainerFilter,
  type ContainerStatusResponse,
  type LinuxContainerResources,
  NamespaceMode,
} from "../proto/mod.ts";
import { type ContainerRuntime, type ExecResult } from "../runtime/mod.ts";
import type { StepRunner, StepTiming } from "../state/steps.ts";
import type { Logger } from "../telemetry/mod.ts";
import {
  containerIn,
  containerKey,
  type ContainerRecord,
  isLive,
  type LiveContainer,
  requireRunning,
} from "./container.ts";
import {
  containerCreatePlan,
  type ContainerCreateRooms,
  type ContainerCreation,
} from "./container_create.ts";
import { processOf, specOf } from "./container_spec.ts";
import { containerInfo, containerStatus } from "./container_status.ts";
import { newLimits } from "./container_limits.ts";
import type { ContainerStopper } from "./container_stop.ts";
import { POD_DEADLINES, REMOVE_GRACE_MS } from "./deadlines.ts";
import type { ContainerUpdater } from "./container_update.ts";
import type { ExitTracker } from "./exits.ts";
import { fingerprint } from "./fingerprint.ts";
import { imageName } from "./image_name.ts";
import { JoinableCreations, type KeyedRequest, nameTaken } from "./joining.ts";
import type { PodLayout } from "./layout.ts";
import { containerMatches } from "./listing.ts";
import type { KeyedMutex } from "./mutex.ts";
import { pidNamespaceOf } from "./pid_namespace.ts";
import type { PodRegistry } from "./registry.ts";
import { REAPED_KINDS } from "./resources.ts";
import type { SandboxRecord } from "./sandbox.ts";
import type { ContainerService, CreateContainerRequest, EncodedItems } from "./service.ts";

const CREATE = "create-container";
const START = "start-container";
const STOP = "stop-container";
const REMOVE = "remove-container";

export interface ContainersOptions {
  readonly registry: PodRegistry;
  readonly runner: StepRunner;
  readonly rooms: ContainerCreateRooms;
  readonly images: Pick<Images, "find" | "hold" | "checkUse">;
  readonly runtime: ContainerRuntime;
  readonly exits: ExitTracker;
  readonly stopper: ContainerStopper;
  readonly updater: ContainerUpdater;
  readonly mutex: KeyedMutex;
  readonly layout: PodLayout;
  readonly clock: Clock;
  readonly bootId: string;
  readonly log: Logger;
  /** How long a handler's monitor may take to report a container. */
  readonly createDeadlineMs: (handler: string) => number;
  /** At most this much of an exec's two streams together is returned. */
  readonly execOutputLimitBytes: number;
  /** @throws {ResourceExhaustedError} the disk is too full to make anything */
  readonly assertSpace: () => void;
}

export class Containers implements ContainerService {
  readonly #options: ContainersOptions;
  readonly #creations = new JoinableCreations<ContainerId>();
  readonly #timings = new Map<ContainerId, readonly StepTiming[]>();

  constructor(options: ContainersOptions) {
    this.#options = options;
  }

  async create(request: CreateContainerRequest): Promise<ContainerId> {
    const { registry } = this.#options;
    const sandbox = requireReady(registry.requireSandbox(request.sandbox));
    const keyed: KeyedRequest = {
      key: containerKey(sandbox.id, request.config),
      fingerprint: fingerprint(request.config),
      noun: "Container",
    };
    const id = newContainerId();
    return await this.#creations.run(keyed, id, async () => {
      for (const known of registry.containersOf(sandbox.id)) {
        if (containerKey(sandbox.id, known.config) !== keyed.key) continue;
        if (known.fingerprint !== keyed.fingerprint) {
          throw nameTaken(keyed, known.id, "exists with other content");
        }
        if (known.state.kind === "created") return known.id;
        throw nameTaken(keyed, known.id, "exists and has been started");
      }
      await this.#create(id, sandbox, request.config, keyed.fingerprint);
      return id;
    });
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
    await this.#settleCreations(sandbox);
    await allOf(
      this.#options.registry.containersOf(sandbox).map((record) =>
        this.#options.stopper.stop(record, graceMs)
      ),
      `Not every container of sandbox ${sandbox} could be stopped`,
    );
  }

  async removeAll(sandbox: SandboxId): Promise<void> {
    await this.#settleCreations(sandbox);
    await allOf(
      this.#options.registry.containersOf(sandbox).map((record) =>
        this.removeRecorded(record.id, 0)
      ),
      `Not every container of sandbox ${sandbox} could be removed`,
    );
  }

  /** Removes a container in any committed state; also finishes a removal that a restart cut off. */
  async removeRecorded(id: ContainerId, graceMs: number): Promise<void> {
    const { registry, runner, stopper, exits, mutex, log } = this.#options;
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
    this.#timings.delete(id);
  }

  /**
   * Takes the runtime's part of an ended container away while nobody waits for it, so that its
   * removal need not.
   */
  async reap(id: ContainerId): Promise<void> {
    const { registry, runner, rooms, mutex, log } = this.#options;
    using _ = await mutex.acquire(id);
    if (registry.container(id)?.state.kind !== "exited") return;
    try {
      await runner.undo("reap-container", id, REAPED_KINDS);
      await rooms.snapshots.unmount(id);
    } catch (error) {
      log.warn("An ended container was not taken down; its removal will try again", { id, error });
    }
  }

  async #create(
    id: ContainerId,
    sandbox: SandboxRecord,
    config: ContainerConfig,
    requestPrint: string,
  ): Promise<void> {
    const { registry, runner, rooms, images, exits, updater, log, assertSpace } = this.#options;
    assertSpace();
    checkIsolation(sandbox, config);
    const image = this.#imageOf(config);
    using _hold = images.hold(image.id);
    const { image: given = "", userSpecifiedImage = "" } = config.image ?? {};
    const { namespace = "" } = sandbox.config.metadata ?? {};
    await images.checkUse(image, userSpecifiedImage || given, namespace);
    const creation = this.#plan({ id, sandbox, config, image, requestPrint });
    await runner.commit(CREATE, "record", () => {
      // In one turn with the record, which is what a stop of the sandbox looks for.
      requireReady(registry.requireSandbox(sandbox.id));
      registry.putContainer(creation.record);
    });
    try {
      const plan = containerCreatePlan(rooms, creation);
      this.#timings.set(id, await runner.run(CREATE, id, plan, creation));
      // A stop that came meanwhile waits for this creation: it finds the container and ends it.
      await runner.commit(CREATE, "commit", () => {
        const made = committed(creation);
        const record = { ...made, limits: updater.readBack(made) };
        registry.putContainer(record);
        // In the same turn: a stop that finds it waits for the end that is watched for.
        exits.watch(record);
      });
    } catch (error) {
      log.warn("A container could not be made", { id, error });
      exits.forget(id);
      this.#timings.delete(id);
      await runner.undo(CREATE, id).catch((failure: unknown) => {
        log.error("A failed container left something behind", { id, error: failure });
      });
      try {
        registry.discardContainer(id);
      } catch (failure) {
        // Why it could not be made is what the caller has to know.
        log.error("The record of a failed container stays until the next start", {
          id,
          error: failure,
        });
      }
      throw error;
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

  #imageOf(config: ContainerConfig): ImageRecord {
    const reference = config.image?.image ?? "";
    const image = reference === "" ? undefined : this.#options.images.find(reference);
    if (image === undefined) {
      throw new NotFoundError(`There is no image ${shown(reference)} on this node`, {
        field: "config.image.image",
        value: reference,
        remedy: "pull the image first",
      });
    }
    return image;
  }

  #plan(request: {
    readonly id: ContainerId;
    readonly sandbox: SandboxRecord;
    readonly config: ContainerConfig;
    readonly image: ImageRecord;
    readonly requestPrint: string;
  }): ContainerCreation {
    const { clock, layout, registry, rooms, bootId, createDeadlineMs } = this.#options;
    const { id, sandbox, config, image, requestPrint } = request;
    const pidNamespace = pidNamespaceOf({ config, sandbox }, {
      find: (target) => registry.findContainer(target),
      pin: layout.namespacePin(id, "pid"),
    });
    const record: ContainerRecord = {
      id,
      sandboxId: sandbox.id,
      config,
      fingerprint: requestPrint,
      createdAtNs: clock.nowNs(),
      bootId,
      imageId: image.id,
      imageRef: image.repoDigests[0] ?? image.id,
      imageName: imageName(image, config.image),
      place: {
        id,
        bundle: layout.bundle(id),
        logPath: rooms.logs.pathOf(id, sandbox, config),
        handler: sandbox.handler,
        cgroupPath: containerCgroup(sandbox.cgroupParent, id),
      },
      stopSignal: stopSignalOf(config.stopSignal, image.config.stopSignal),
      user: { uid: 0, gid: 0, additionalGids: [] },
      limits: newLimits(config.linux?.resources),
      state: { kind: "creating" },
    };
    return {
      record,
      sandbox,
      image,
      name: fullName(sandbox, config),
      createDeadlineMs: createDeadlineMs(sandbox.handler),
      pidNamespace,
      rootfs: "",
      mounts: [],
      user: undefined,
      created: undefined,
    };
  }

  #infoOf(record: ContainerRecord): object {
    const timings = this.#timings.get(record.id) ?? [];
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

  async #settleCreations(sandbox: SandboxId): Promise<void> {
    const ids = new Set<string>(
      this.#options.registry.containersOf(sandbox).map((record) => record.id),
    );
    await Promise.allSettled(
      this.#creations.underWay().filter(({ id }) => ids.has(id)).map(({ result }) => result),
    );
  }
}

/**
 * A container may not have more of the node than its pod was admitted with.
 *
 * @throws {FailedPreconditionError} it is privileged, or in a namespace of the host's, and its sandbox is not
 */
function checkIsolation(sandbox: SandboxRecord, config: ContainerConfig): void {
  const wanted = config.linux?.securityContext;
  const given = sandbox.config.linux?.securityContext;
  const { net, ipc, pid } = sandbox.namespaces;
  const refuse = (field: string, what: string, remedy: string): never => {
    throw new FailedPreconditionError(`${what}, but its sandbox ${sandbox.id} is not`, {
      id: sandbox.id,
      field: `config.linux.security_context.${field}`,
      remedy,
    });
  };
  const privilegedSandbox = given?.privileged === true ||
    [net, ipc, pid].some(({ kind }) => kind === "host");
  if (wanted?.privileged === true && !privilegedSandbox) {
    refuse("privileged", "The container is privileged", "run the sandbox as privileged, too");
  }
  const namespaces = { network: net, ipc } as const;
  for (const name of ["network", "ipc"] as const) {
    if (
      wanted?.namespaceOptions?.[name] !== NamespaceMode.NODE || namespaces[name].kind === "host"
    ) continue;
    refuse(
      `namespace_options.${name}`,
      `The container is in the node's ${name} namespace`,
      "ask for it in the sandbox, too",
    );
  }
}

/** The record of a creation that has gone through all its steps. */
function committed(creation: ContainerCreation): LiveContainer {
  const { record, created, user } = creation;
  if (created === undefined || user === undefined) {
    throw new InternalError(`Container ${record.id} went through its steps without a process`);
  }
  return containerIn({ ...record, user }, { kind: "created", ...created }) as LiveContainer;
}

function fullName(sandbox: SandboxRecord, config: ContainerConfig): string {
  const pod = sandbox.config.metadata;
  return [
    "k8s",
    config.metadata?.name ?? "",
    pod?.name ?? "",
    pod?.namespace ?? "",
    pod?.uid ?? "",
    config.metadata?.attempt ?? 0,
  ].join("_");
}

function requireId(id: string): void {
  if (id === "") {
    throw new InvalidArgumentError("container_id is empty", {
      field: "container_id",
      remedy: "give the id of a container or a unique prefix of it",
    });
  }
}

function requireReady(sandbox: SandboxRecord): SandboxRecord {
  if (sandbox.state.kind === "ready") return sandbox;
  throw new FailedPreconditionError(`Sandbox ${sandbox.id} is ${sandbox.state.kind}`, {
    id: sandbox.id,
    field: "pod_sandbox_id",
    remedy: "run a new sandbox",
  });
}

/** Waits for all and throws one error that holds every failure. */
async function allOf(work: readonly Promise<void>[], message: string): Promise<void> {
  const failures = (await Promise.allSettled(work)).flatMap((result) =>
    result.status === "rejected" ? [result.reason as unknown] : []
  );
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, message);
}
