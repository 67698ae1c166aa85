/**
 * The life of pod sandboxes.
 *
 * @module
 */
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import { type Clock, newSandboxId, type SandboxId } from "../model/mod.ts";
import {
  ATTACHMENT_KIND,
  HOST_PORTS_KIND,
  type HostPortLedger,
  type Networks,
} from "../network/mod.ts";
import {
  type AnnotationRules,
  podHostname,
  podSysctls,
  refuseActingAnnotations,
  shmSizeWish,
  wishOf,
} from "../oci/mod.ts";
import {
  NamespaceMode,
  type PodSandboxConfig,
  type PodSandboxFilter,
  type PodSandboxStatusResponse,
} from "../proto/mod.ts";
import type { ContainerRuntime } from "../runtime/containers_runtime.ts";
import type { Resource } from "../state/journal.ts";
import type { StepRunner, StepTiming } from "../state/steps.ts";
import type { PinnedNamespace } from "../sys/namespaces.ts";
import type { Logger } from "../telemetry/mod.ts";
import { cgroupParentOf, type CgroupSettings } from "./cgroup_parent.ts";
import { isVisible as containerVisible } from "./container.ts";
import { containerStatus } from "./container_status.ts";
import { SANDBOX_STOP_GRACE_MS } from "./deadlines.ts";
import { fingerprint } from "./fingerprint.ts";
import { JoinableCreations, type KeyedRequest, nameTaken } from "./joining.ts";
import type { PodLayout } from "./layout.ts";
import { sandboxMatches } from "./listing.ts";
import type { KeyedMutex } from "./mutex.ts";
import type { PidHolders } from "./pid_holders.ts";
import { attachRequest, hostPortsOf, portHolder } from "./pod_network.ts";
import type { PortForwards } from "./port_forward.ts";
import type { PodRegistry } from "./registry.ts";
import { STOPPED_KINDS } from "./resources.ts";
import {
  sandboxIn,
  sandboxIps,
  sandboxKey,
  type SandboxNamespaces,
  type SandboxRecord,
  type SandboxResources,
  stopping,
} from "./sandbox.ts";
import {
  type SandboxNetwork,
  type SandboxRun,
  sandboxRunPlan,
  type SandboxRunRooms,
} from "./sandbox_run.ts";
import { sandboxInfo, sandboxStatus } from "./sandbox_status.ts";
import type { EncodedItems, RunSandboxRequest, SandboxService } from "./service.ts";

const RUN = "run-pod-sandbox";
const STOP = "stop-pod-sandbox";
const REMOVE = "remove-pod-sandbox";
const UPDATE = "update-pod-sandbox";

/** What the containers' side does for a sandbox that ends. */
export interface SandboxMembers {
  /** Waits for creations under way and ends every container. */
  stopAll(sandbox: SandboxId, graceMs: number): Promise<void>;
  removeAll(sandbox: SandboxId): Promise<void>;
}

export interface SandboxSettings extends CgroupSettings {
  /** `default_sysctls`: `key=value`. */
  readonly defaultSysctls: readonly string[];
  /** Size of /dev/shm of pods that ask for no other. */
  readonly shmBytes: bigint;
  readonly annotationRules: (handler: string) => AnnotationRules;
  /** Host name of pods on the host's network. */
  readonly nodeName: string;
  /** False with `disable_hostport_mapping`: host ports are left unmapped. */
  readonly hostPortMapping: boolean;
  /** `enable_pod_events`: the status of a pod tells of its containers, too. */
  readonly podEvents: boolean;
}

export interface SandboxesOptions {
  readonly registry: PodRegistry;
  readonly runner: StepRunner;
  readonly rooms: SandboxRunRooms;
  readonly networks: Pick<Networks, "choose" | "opensHostPorts" | "selection">;
  /** Ranges that the cluster gave the node for its pods. */
  readonly podCidrs: () => readonly string[];
  readonly ledger: HostPortLedger;
  /** What the record holds for an id. */
  readonly resourcesOf: (id: SandboxId) => Promise<readonly Pick<Resource, "kind">[]>;
  readonly runtime: Pick<ContainerRuntime, "resolveHandler">;
  readonly members: SandboxMembers;
  readonly portForwards: Pick<PortForwards, "end">;
  readonly pidHolders: Pick<PidHolders, "assertAvailable" | "watch" | "forget">;
  readonly mutex: KeyedMutex;
  readonly layout: PodLayout;
  readonly settings: SandboxSettings;
  readonly clock: Clock;
  readonly bootId: string;
  readonly log: Logger;
  /** @throws {ResourceExhaustedError} the disk is too full to make anything */
  readonly assertSpace: () => void;
}

export class Sandboxes implements SandboxService {
  readonly #options: SandboxesOptions;
  readonly #creations = new JoinableCreations<SandboxId>();
  readonly #timings = new Map<SandboxId, readonly StepTiming[]>();

  constructor(options: SandboxesOptions) {
    this.#options = options;
  }

  async run(request: RunSandboxRequest): Promise<SandboxId> {
    const { registry } = this.#options;
    const { config, runtimeHandler } = request;
    const keyed: KeyedRequest = {
      key: sandboxKey(config),
      fingerprint: fingerprint(config, runtimeHandler),
      noun: "Sandbox",
    };
    const id = newSandboxId();
    return await this.#creations.run(keyed, id, async () => {
      for (const known of registry.sandboxes()) {
        if (sandboxKey(known.config) !== keyed.key) continue;
        if (known.fingerprint !== keyed.fingerprint) {
          throw nameTaken(keyed, known.id, "exists with other content");
        }
        if (known.state.kind === "ready") return known.id;
        throw nameTaken(keyed, known.id, "exists and is no longer ready");
      }
      const run = this.#plan(id, request, keyed.fingerprint);
      await this.#claimHostPorts(run);
      await this.#create(run);
      return id;
    });
  }

  async stop(idOrPrefix: string): Promise<void> {
    requireId(idOrPrefix);
    const known = this.#options.registry.findSandbox(idOrPrefix);
    if (known !== undefined) await this.#stop(known.id);
  }

  async remove(idOrPrefix: string): Promise<void> {
    requireId(idOrPrefix);
    const known = this.#options.registry.findSandbox(idOrPrefix);
    if (known !== undefined) await this.removeRecorded(known.id);
  }

  /** Removes a sandbox in any committed state; also finishes a removal that a restart cut off. */
  async removeRecorded(id: SandboxId): Promise<void> {
    const { registry, runner, members, mutex, log } = this.#options;
    try {
      await this.#stop(id);
    } catch (error) {
      // What could not be undone keeps its row: it is tried again with back-off and shown by `check`.
      log.warn("A sandbox is removed although stopping it failed", { id, error });
    }
    await members.removeAll(id);
    using _ = await mutex.acquire(id);
    const record = registry.sandbox(id);
    if (record === undefined) return;
    if (record.state.kind !== "removing") {
      await runner.commit(REMOVE, "removing", () => {
        registry.putSandbox(sandboxIn(record, { kind: "removing" }));
      });
    }
    await registry.settled("sandbox", id);
    await runner.undo(REMOVE, id).catch((error: unknown) => {
      log.error("A removed sandbox left something behind; it will be tried again", { id, error });
    });
    await this.#releaseHostPorts(id);
    await runner.commit(REMOVE, "forget", () => registry.deleteSandbox(id));
    this.#timings.delete(id);
  }

  status(id: string, verbose: boolean): PodSandboxStatusResponse {
    const { registry, settings } = this.#options;
    const record = registry.requireSandbox(id);
    const info = () => JSON.stringify(sandboxInfo(record, this.#timings.get(record.id) ?? []));
    const containers = settings.podEvents ? registry.containersOf(record.id) : [];
    return {
      status: sandboxStatus(record),
      info: verbose ? { info: info() } : {},
      containersStatuses: containers.filter(containerVisible).map(containerStatus),
      // With a time the kubelet's EventedPLEG would take the statuses from here, and (1.37) forget
      // which are of the present sandbox: it starts init containers again for ever.
      timestamp: 0n,
    };
  }

  list(filter: PodSandboxFilter | undefined): EncodedItems {
    const { registry } = this.#options;
    const items: Uint8Array[] = [];
    for (const record of registry.sandboxes()) {
      if (sandboxMatches(record, filter)) items.push(registry.encodedSandbox(record));
    }
    return items;
  }

  async updateResources(idOrPrefix: string, resources: SandboxResources): Promise<void> {
    const { registry, runner } = this.#options;
    const { id } = registry.requireSandbox(idOrPrefix);
    // Not behind the lock of a stop, which may take long: looked at and committed in one turn.
    await runner.commit(UPDATE, "commit", () => {
      const record = registry.requireSandbox(id);
      if (record.state.kind !== "ready") {
        throw new FailedPreconditionError(
          `Sandbox ${id} is ${record.state.kind}: what it may use cannot be changed`,
          { id, field: "pod_sandbox_id", remedy: "only a sandbox that is ready can be resized" },
        );
      }
      const before = record.updated ?? {};
      registry.putSandbox({
        ...record,
        updated: {
          overhead: resources.overhead ?? before.overhead,
          resources: resources.resources ?? before.resources,
        },
      });
    });
  }

  /** Goes on with a stop that a restart cut off, or that the reboot made necessary. */
  async resumeStop(id: SandboxId): Promise<void> {
    await this.#stop(id);
  }

  /** Host ports of pods on the host's network, which no attachment tells about. */
  takeOverHostPorts(): void {
    const { registry, ledger, settings } = this.#options;
    if (!settings.hostPortMapping) return;
    for (const record of registry.sandboxes()) {
      const { kind } = record.state;
      const holds = kind === "ready" || kind === "failed" || kind === "stopping";
      if (record.namespaces.net.kind !== "host" || !holds) continue;
      ledger.load(portHolder(record), hostPortsOf(record));
    }
  }

  /** Everything about the request that can be refused is refused here, before anything is made. */
  #plan(id: SandboxId, request: RunSandboxRequest, requestPrint: string): SandboxRun {
    const { runtime, layout, settings, pidHolders, clock, bootId, log, assertSpace } =
      this.#options;
    assertSpace();
    const { config, runtimeHandler } = request;
    const handler = runtime.resolveHandler(runtimeHandler);
    const rules = settings.annotationRules(handler);
    refuseActingAnnotations(config.annotations, rules);
    const namespaces = namespacesFor(id, config, layout);
    if (namespaces.pid.kind === "pinned") pidHolders.assertAvailable();
    const hostNetwork = namespaces.net.kind === "host";
    const { sysctls, warnings } = podSysctls({
      requested: config.linux?.sysctls ?? {},
      defaults: settings.defaultSysctls,
      hostNetwork,
      hostIpc: namespaces.ipc.kind === "host",
    });
    for (const warning of warnings) log.warn(warning, { id });
    const record: SandboxRecord = {
      id,
      config,
      requestedHandler: runtimeHandler,
      handler,
      fingerprint: requestPrint,
      createdAtNs: clock.nowNs(),
      bootId,
      namespaces,
      cgroupParent: cgroupParentOf(config.linux?.cgroupParent ?? "", settings),
      hostname: podHostname({
        given: config.hostname,
        sandboxId: id,
        node: settings.nodeName,
        hostNetwork,
      }),
      state: { kind: "creating" },
    };
    return {
      record,
      network: namespaces.net.kind === "pinned"
        ? this.#network(record, namespaces.net.path, rules)
        : undefined,
      sysctls,
      shmBytes: shmSizeWish(config.annotations, rules) ?? settings.shmBytes,
      attachment: undefined,
      pidHolder: undefined,
    };
  }

  #network(record: SandboxRecord, netnsPath: string, rules: AnnotationRules): SandboxNetwork {
    const { networks, podCidrs, rooms, settings } = this.#options;
    const chosen = networks.choose();
    const asked = wishOf("defaultNetwork", record.config.annotations, rules);
    const request = attachRequest(record, {
      netnsPath,
      hostPortMapping: settings.hostPortMapping,
      podCidrs: podCidrs(),
      selection: asked === undefined ? undefined : networks.selection(chosen, asked),
    });
    const ownHostPorts = request.portMappings.length > 0 && !networks.opensHostPorts(chosen);
    if (ownHostPorts) rooms.hostPorts.assertUsable();
    return { chosen, request, ownHostPorts };
  }

  /** Before anything is made: a port that somebody has is an error that names them. */
  async #claimHostPorts({ record, network }: SandboxRun): Promise<void> {
    const { ledger, settings } = this.#options;
    // Programs of a pod on the host's network listen by themselves.
    const mappings = network?.request.portMappings ??
      (settings.hostPortMapping ? hostPortsOf(record) : []);
    ledger.claim(portHolder(record), mappings);
    if (network === undefined) return;
    try {
      await ledger.assertNotListening(mappings);
    } catch (error) {
      ledger.release(record.id);
      throw error;
    }
  }

  async #create(run: SandboxRun): Promise<void> {
    const { registry, runner, rooms, ledger, pidHolders, log } = this.#options;
    const { id } = run.record;
    try {
      await runner.commit(RUN, "record", () => registry.putSandbox(run.record));
    } catch (error) {
      // Nothing was made of it, and nobody else knows its claim.
      ledger.release(id);
      throw error;
    }
    try {
      this.#timings.set(id, await runner.run(RUN, id, sandboxRunPlan(rooms, run), run));
      await runner.commit(RUN, "commit", () => {
        const ips = run.attachment?.ips ?? [];
        const { pidHolder } = run;
        const ready = sandboxIn(run.record, {
          kind: "ready",
          ips,
          ...(pidHolder === undefined ? {} : { pidHolder }),
        });
        registry.putSandbox(ready);
        pidHolders.watch(ready);
      });
    } catch (error) {
      log.warn("A sandbox could not be started", { id, error });
      this.#timings.delete(id);
      await runner.undo(RUN, id).catch((failure: unknown) => {
        log.error("A failed sandbox left something behind", { id, error: failure });
      });
      await this.#releaseHostPorts(id);
      try {
        registry.discardSandbox(id);
      } catch (failure) {
        // Why it could not be started is what the caller has to know.
        log.error("The record of a failed sandbox stays until the next start", {
          id,
          error: failure,
        });
      }
      throw error;
    }
  }

  /**
   * Of a sandbox that is no more. They stay taken with an attachment that is left, which gives them
   * back when it is undone at last; whatever else is left needs none. Never rejects.
   */
  async #releaseHostPorts(id: SandboxId): Promise<void> {
    const { ledger, resourcesOf, log } = this.#options;
    try {
      const left = await resourcesOf(id);
      if (!left.some(({ kind }) => kind === ATTACHMENT_KIND)) ledger.release(id);
    } catch (error) {
      log.error("Host ports of a sandbox stay taken: the record does not tell what is left of it", {
        id,
        error,
      });
    }
  }

  /** Containers, then host ports, the network with its stored configuration, pins and mounts. */
  async #stop(id: SandboxId): Promise<void> {
    const { registry, runner, members, portForwards, pidHolders, mutex, ledger } = this.#options;
    {
      using _ = await mutex.acquire(id);
      const record = registry.sandbox(id);
      if (record?.state.kind === "ready" || record?.state.kind === "failed") {
        await runner.commit(STOP, "stopping", () => {
          registry.putSandbox(stopping(record));
        });
        // Not before: a sandbox that stays ready is still to fail with its holder.
        pidHolders.forget(id);
      }
    }
    await members.stopAll(id, SANDBOX_STOP_GRACE_MS);
    // Their sockets would keep the network namespace.
    portForwards.end(id);
    using _ = await mutex.acquire(id);
    const record = registry.sandbox(id);
    if (record?.state.kind !== "stopping") return;
    await runner.undo(STOP, id, [HOST_PORTS_KIND]);
    await runner.undo(STOP, id, [ATTACHMENT_KIND]);
    await runner.undo(STOP, id, STOPPED_KINDS);
    ledger.release(id);
    await runner.commit(STOP, "stopped", () => {
      registry.putSandbox(sandboxIn(record, { kind: "stopped", ips: sandboxIps(record) }));
    });
  }

  /** The sandbox of a container request. @throws {FailedPreconditionError} it is not ready */
  requireReady(idOrPrefix: string): SandboxRecord {
    const record = this.#options.registry.requireSandbox(idOrPrefix);
    if (record.state.kind !== "ready") {
      throw new FailedPreconditionError(
        `Sandbox ${record.id} is ${record.state.kind}: no container can be made in it`,
        { id: record.id, field: "pod_sandbox_id", remedy: "run a new sandbox" },
      );
    }
    return record;
  }
}

function requireId(id: string): void {
  if (id === "") {
    throw new InvalidArgumentError("pod_sandbox_id is empty", {
      field: "pod_sandbox_id",
      remedy: "give the id of a sandbox or a unique prefix of it",
    });
  }
}

/** Which namespaces are the pod's own. UTS is always: the host name belongs to the pod. */
function namespacesFor(
  id: SandboxId,
  config: PodSandboxConfig,
  layout: PodLayout,
): SandboxNamespaces {
  const options = config.linux?.securityContext?.namespaceOptions;
  const pinned = (kind: PinnedNamespace) =>
    ({ kind: "pinned", path: layout.namespacePin(id, kind) }) as const;
  const host = { kind: "host" } as const;
  const pidNamespace = () => {
    switch (options?.pid) {
      case NamespaceMode.NODE:
        return host;
      case NamespaceMode.POD:
        return pinned("pid");
      default:
        // Without any options a pod is not asked to show its containers to each other.
        return { kind: "container" } as const;
    }
  };
  return {
    net: options?.network === NamespaceMode.NODE ? host : pinned("net"),
    ipc: options?.ipc === NamespaceMode.NODE ? host : pinned("ipc"),
    uts: pinned("uts"),
    pid: pidNamespace(),
  };
}
