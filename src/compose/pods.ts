/** Pods: the domain with everything that it stands on. @module */
import type { LiveConfiguration } from "../config/mod.ts";
import { EXEC_OUTPUT_LIMIT_BYTES } from "../cri/mod.ts";
import type { Images } from "../image/images.ts";
import type { Clock } from "../model/mod.ts";
import { requireDeviceEntry } from "../oci/mod.ts";
import {
  type AbandonableFiles,
  BackgroundMirror,
  type BundleOptions,
  Bundles,
  ContainerCreator,
  ContainerLogs,
  Containers,
  ContainerStopper,
  ContainerUpdater,
  EtcFiles,
  ExitTracker,
  HostPaths,
  type ImageVolumes,
  KeyedMutex,
  PidHolders,
  POD_DEADLINES,
  PodEvents,
  PodLayout,
  PodRegistry,
  type PodResourcePorts,
  PodResources,
  PortForwards,
  ProcessSessions,
  recoverPods,
  type RecoveryReport,
  Sandboxes,
  type StreamService,
  StreamSessions,
} from "../pod/mod.ts";
import { type ContainerRuntime, requirePidHolder } from "../runtime/mod.ts";
import type { SpaceReserve } from "../state/mod.ts";
import type { Snapshots } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { PodNetworks } from "./network.ts";
import { hostDevices, type Machine, podMounts, podTrees, rootfsFiles } from "./node.ts";
import type { ServerPaths } from "./paths.ts";
import type { ServerRecord } from "./record.ts";
import { timeZoneFile } from "./ports.ts";
import { SYSTEM_SLICE } from "./ports.ts";
import {
  annotationRules,
  cgroupDriverOf,
  createTimeoutMs,
  searchPath,
  specDefaults,
} from "./runtime_options.ts";

/** Cgroup of pods that name none, by driver. */
const DEFAULT_CGROUP_PARENT = { cgroupfs: "/sauropod", systemd: `/${SYSTEM_SLICE}` } as const;
const ADDITIONAL_DEVICES = "runtime.additional_devices";
const SHM_BYTES = 64n * 1024n * 1024n;

export interface PodsOptions {
  readonly live: LiveConfiguration;
  readonly paths: ServerPaths;
  readonly machine: Machine;
  readonly record: ServerRecord;
  readonly reserve: SpaceReserve;
  readonly runtime: ContainerRuntime;
  readonly network: Pick<PodNetworks, "networks" | "hostPorts" | "ledger" | "podCidrs">;
  readonly images: Pick<Images, "find" | "hold" | "checkUse">;
  readonly snapshots: Snapshots;
  readonly cgroups: PodResourcePorts["cgroups"];
  readonly hostFiles: AbandonableFiles;
  readonly defaultMounts: BundleOptions["defaultMounts"];
  readonly node: BundleOptions["node"];
  readonly seccomp: BundleOptions["seccomp"];
  readonly appArmor: BundleOptions["appArmor"];
  /** Removes a tree of ours that may be large. */
  readonly removeLarge: (path: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Pods extends AsyncDisposable {
  readonly registry: PodRegistry;
  readonly sandboxes: Sandboxes;
  readonly containers: Containers;
  readonly portForwards: PortForwards;
  readonly streams: StreamService;
  /** Undefined unless `enable_pod_events` is set. */
  readonly events: PodEvents | undefined;
  /** Compares the record with the kernel; every call can be answered afterwards. */
  recover(): Promise<RecoveryReport>;
}

/** What of the pods must exist before the images do, who ask it which of them are in use. */
export function openRegistry(record: ServerRecord, log: Logger): {
  readonly registry: PodRegistry;
  readonly mirror: BackgroundMirror;
} {
  const mirror = new BackgroundMirror({
    copies: record.files,
    resourcesOf: (id) => record.pods.journal.ofOwner(id),
    log,
  });
  const { sandboxes, containers } = record.pods;
  return { registry: new PodRegistry({ sandboxes, containers, mirror }), mirror };
}

export function openPods(
  options: PodsOptions,
  { registry, mirror }: ReturnType<typeof openRegistry>,
): Pods {
  const { live, paths, machine, record, runtime, images, clock, log } = options;
  const configuration = live.current;
  const { networks, hostPorts, ledger, podCidrs } = options.network;
  const { runner } = record.podSteps;
  const { bootId } = machine.processes;
  const cgroupDriver = cgroupDriverOf(configuration);
  const podEvents = configuration.runtime.enable_pod_events;
  const events = podEvents ? new PodEvents({ registry, clock }) : undefined;
  if (events !== undefined) registry.observe(events);
  const mutex = new KeyedMutex();
  const layout = new PodLayout({
    root: paths.root,
    runRoot: paths.runRoot,
    namespacesDir: configuration.runtime.namespaces_dir,
    logDir: configuration.base.log_dir,
  });
  const resources = new PodResources({
    namespaces: machine.namespaces,
    mounts: podMounts(machine.kernel),
    trees: podTrees(machine.kernel, options.removeLarge),
    cgroups: options.cgroups,
    defaultCgroupParent: DEFAULT_CGROUP_PARENT[cgroupDriver],
    cgroupsInUse: () => [...registry.sandboxes()].filter(({ state }) => state.kind !== "removing"),
  });
  for (const type of resources.types()) record.podTypes.register(type);

  const exits: ExitTracker = new ExitTracker({
    registry,
    runtime,
    mutex,
    log,
    onExited: (id) => void containers.reap(id),
  });
  const pidHolders = new PidHolders({
    layout,
    registry,
    runner,
    mutex,
    runtime,
    namespaces: machine.namespaces,
    processes: machine.processes,
    processWatcher: machine.processWatcher,
    findProgram: () => requirePidHolder(searchPath()),
    // A holder has no mounts of a request.
    node: { ...options.node, recursiveReadOnlyMounts: false },
    seccomp: (handler) => options.seccomp.runtimeDefault(handler),
    log,
  });
  const stopper = new ContainerStopper({
    registry,
    runtime,
    exits,
    mutex,
    clock,
    killDeadlineMs: configuration.runtime.ctr_stop_timeout * 1000,
  });
  const handlerOf = (name: string) => live.current.runtime.runtimes[name];
  const defaultsOf = (handler: string) => specDefaults(live.current, handlerOf(handler));
  const updater = new ContainerUpdater({
    registry,
    runner,
    runtime,
    mutex,
    node: options.node,
    minMemoryBytes: (handler) => defaultsOf(handler).minMemoryBytes,
    log,
  });
  const devices = hostDevices(machine.kernel);
  const additionalDevices = configuration.runtime.additional_devices.map((entry) =>
    requireDeviceEntry(entry, ADDITIONAL_DEVICES)
  );
  // One that is missing would fail every container: the administrator hears of it at the start.
  devices.resolve(additionalDevices, () => ADDITIONAL_DEVICES);
  const creator = new ContainerCreator({
    registry,
    runner,
    rooms: {
      layout,
      resources,
      snapshots: options.snapshots,
      hostPaths: new HostPaths({
        files: options.hostFiles,
        prefix: configuration.runtime.bind_mount_prefix,
        rejectAbsent: configuration.runtime.absent_mount_sources_to_reject,
      }),
      bundles: new Bundles({
        layout,
        rootfs: rootfsFiles(machine.kernel),
        devices,
        node: options.node,
        recursiveReadOnlyMounts: (name) =>
          runtime.handlers().some((handler) =>
            handler.name === name && handler.recursiveReadOnlyMounts
          ),
        defaults: defaultsOf,
        additionalDevices,
        allowedDevices: configuration.runtime.allowed_devices,
        storageRoot: paths.root,
        seccomp: options.seccomp,
        appArmor: options.appArmor,
        imageVolumes: configuration.image.image_volumes as ImageVolumes,
        timeZone: timeZoneFile(configuration.runtime.timezone),
        defaultMounts: options.defaultMounts,
        log,
      }),
      logs: new ContainerLogs(layout),
      runtime,
      namespaces: machine.namespaces,
      processes: machine.processes,
    },
    images,
    exits,
    updater,
    layout,
    clock,
    bootId,
    log,
    createDeadlineMs: (handler) => createTimeoutMs(handlerOf(handler)),
    assertSpace: () => options.reserve.assertSpace("Creating a container"),
  });
  const containers: Containers = new Containers({
    registry,
    runner,
    snapshots: options.snapshots,
    runtime,
    exits,
    creator,
    stopper,
    updater,
    mutex,
    clock,
    log,
    execOutputLimitBytes: EXEC_OUTPUT_LIMIT_BYTES,
  });
  const portForwards = new PortForwards({ registry, connections: machine.connections });
  const sandboxes = new Sandboxes({
    registry,
    runner,
    rooms: {
      layout,
      namespaces: machine.namespaces,
      networks,
      hostPorts,
      resources,
      pidHolders,
      nodeFiles: new EtcFiles(),
      deadlines: POD_DEADLINES,
    },
    networks,
    podCidrs: () => podCidrs.current,
    ledger,
    resourcesOf: (id) => record.pods.journal.ofOwner(id),
    runtime,
    members: containers,
    portForwards,
    pidHolders,
    mutex,
    layout,
    settings: {
      cgroupDriver,
      defaultCgroupParent: DEFAULT_CGROUP_PARENT[cgroupDriver],
      defaultSysctls: configuration.runtime.default_sysctls,
      shmBytes: SHM_BYTES,
      annotationRules: (handler) => annotationRules(handlerOf(handler)),
      nodeName: Deno.hostname(),
      hostPortMapping: !configuration.runtime.disable_hostport_mapping,
      podEvents,
    },
    clock,
    bootId,
    log,
    assertSpace: () => options.reserve.assertSpace("Running a pod"),
  });
  return {
    registry,
    sandboxes,
    containers,
    portForwards,
    streams: new StreamSessions(new ProcessSessions({ registry, runtime }), portForwards),
    events,
    recover: () =>
      recoverPods(
        {
          registry,
          runner,
          sandboxes,
          containers,
          updater,
          exits,
          pidHolders,
          runtime,
          clock,
          bootId,
          log,
          copies: record.files,
        },
        { sandboxes: record.pods.sandboxes.all(), containers: record.pods.containers.all() },
      ),
    async [Symbol.asyncDispose](): Promise<void> {
      pidHolders[Symbol.dispose]();
      exits[Symbol.dispose]();
      await mirror.flush();
    },
  };
}
