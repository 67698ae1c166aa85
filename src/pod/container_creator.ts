/**
 * How containers come to be: what a request is checked for, and its way from the record to a container that
 * can be started.
 *
 * @module
 */
import { FailedPreconditionError, InternalError, NotFoundError, shown } from "../errors/mod.ts";
import type { ImageRecord, Images } from "../image/images.ts";
import {
  type Clock,
  containerCgroup,
  type ContainerId,
  newContainerId,
  type SandboxId,
} from "../model/mod.ts";
import { stopSignalOf } from "../oci/mod.ts";
import { type ContainerConfig, NamespaceMode } from "../proto/mod.ts";
import type { StepRunner, StepTiming } from "../state/steps.ts";
import type { Logger } from "../telemetry/mod.ts";
import {
  containerIn,
  containerKey,
  type ContainerRecord,
  type LiveContainer,
} from "./container.ts";
import {
  containerCreatePlan,
  type ContainerCreateRooms,
  type ContainerCreation,
} from "./container_create_plan.ts";
import { newLimits } from "./container_limits.ts";
import type { ContainerUpdater } from "./container_update.ts";
import type { ExitTracker } from "./exits.ts";
import { fingerprint } from "./fingerprint.ts";
import { imageName } from "./image_name.ts";
import { JoinableCreations, type KeyedRequest, nameTaken } from "./joining.ts";
import type { PodLayout } from "./layout.ts";
import { pidNamespaceOf } from "./pid_namespace.ts";
import type { PodRegistry } from "./registry.ts";
import { requireReady, type SandboxRecord } from "./sandbox.ts";
import type { CreateContainerRequest } from "./service.ts";

const CREATE = "create-container";

export interface ContainerCreatorOptions {
  readonly registry: PodRegistry;
  readonly runner: StepRunner;
  readonly rooms: ContainerCreateRooms;
  readonly images: Pick<Images, "find" | "hold" | "checkUse">;
  readonly exits: Pick<ExitTracker, "watch" | "forget">;
  readonly updater: Pick<ContainerUpdater, "readBack">;
  readonly layout: PodLayout;
  readonly clock: Clock;
  readonly bootId: string;
  readonly log: Logger;
  /** How long a handler's monitor may take to report a container. */
  readonly createDeadlineMs: (handler: string) => number;
  /** @throws {ResourceExhaustedError} the disk is too full to make anything */
  readonly assertSpace: () => void;
}

export class ContainerCreator {
  readonly #options: ContainerCreatorOptions;
  readonly #creations = new JoinableCreations<ContainerId>();
  readonly #timings = new Map<ContainerId, readonly StepTiming[]>();

  constructor(options: ContainerCreatorOptions) {
    this.#options = options;
  }

  /** See {@link import("./service.ts").ContainerService.create}. */
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

  /** Waits for the creations in a sandbox that are under way, however they end. */
  async settle(sandbox: SandboxId): Promise<void> {
    const ids = new Set<string>(
      this.#options.registry.containersOf(sandbox).map((record) => record.id),
    );
    await Promise.allSettled(
      this.#creations.underWay().filter(({ id }) => ids.has(id)).map(({ result }) => result),
    );
  }

  /** How long the steps of a creation took; none if it was before our start. */
  timingsOf(id: ContainerId): readonly StepTiming[] {
    return this.#timings.get(id) ?? [];
  }

  /** Of a container that is gone. */
  forget(id: ContainerId): void {
    this.#timings.delete(id);
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
