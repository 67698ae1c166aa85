/**
 * Making a container, as data.
 *
 * ```text
 * directories ─┬─ rootfs ────────┬─ bundle ── log ── runtime-create
 *              ├─ host-paths ────┤
 *              └─ pid-namespace ─┘
 * ```
 *
 * @module
 */
import type { JsonObject } from "../model/mod.ts";
import type { ImageRecord } from "../image/images.ts";
import { type ContainerRuntime, type CreatedContainer } from "../runtime/mod.ts";
import type { Plan, Step } from "../state/steps.ts";
import { snapshotIntent, type Snapshots } from "../storage/mod.ts";
import type { Namespaces } from "../sys/namespaces.ts";
import type { ProcessTable } from "../sys/watching.ts";
import type { ContainerRecord, ContainerUser } from "./container.ts";
import { POD_DEADLINES } from "./deadlines.ts";
import type { ContainerLogs } from "./container_logs.ts";
import type { HostPaths, ResolvedMount } from "./host_paths.ts";
import type { PodLayout } from "./layout.ts";
import { type ContainerPidNamespace, targetEnded } from "./pid_namespace.ts";
import { directoriesIntent, namespacesIntent, type PodResources } from "./resources.ts";
import type { SandboxRecord } from "./sandbox.ts";

/** What the steps of one creation share. */
export interface ContainerCreation {
  readonly record: ContainerRecord;
  readonly sandbox: SandboxRecord;
  readonly image: ImageRecord;
  /** `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`. */
  readonly name: string;
  /** How long the monitor may take to report the container. */
  readonly createDeadlineMs: number;
  readonly pidNamespace: ContainerPidNamespace;
  rootfs: string;
  mounts: readonly ResolvedMount[];
  user: ContainerUser | undefined;
  created: CreatedContainer | undefined;
}

/** Writes a container's bundle: config.json and the files that it mounts. */
export interface BundleWriter {
  /** Returns the numeric user that the container will run as. */
  write(creation: ContainerCreation): Promise<ContainerUser>;
}

export interface ContainerCreateRooms {
  readonly layout: PodLayout;
  readonly resources: PodResources;
  readonly snapshots: Snapshots;
  readonly hostPaths: HostPaths;
  readonly bundles: BundleWriter;
  readonly logs: ContainerLogs;
  readonly runtime: Pick<ContainerRuntime, "create" | "intent">;
  readonly namespaces: Pick<Namespaces, "pinPid">;
  readonly processes: Pick<ProcessTable, "isAlive">;
}

/** The plan of CreateContainer. */
export function containerCreatePlan(
  rooms: ContainerCreateRooms,
  creation: ContainerCreation,
): Plan<ContainerCreation> {
  const mounts = creation.record.config.mounts.length === 0 ? [] : [[hostPathsStep(rooms)]];
  const { pidNamespace } = creation;
  const target = pidNamespace.kind === "target" ? [[targetStep(rooms, pidNamespace)]] : [];
  return [
    directoriesStep(rooms),
    { parallel: [[rootfsStep(rooms)], ...mounts, ...target] },
    bundleStep(rooms),
    logStep(rooms),
    runtimeCreateStep(rooms, creation.createDeadlineMs),
  ];
}

function directoriesStep({ layout, resources }: ContainerCreateRooms): Step<ContainerCreation> {
  const paths = ({ record }: ContainerCreation) => [
    layout.containerDir(record.id),
    layout.bundle(record.id),
  ];
  return {
    name: "directories",
    deadlineMs: POD_DEADLINES.filesMs,
    intent: (creation) => directoriesIntent(paths(creation)),
    act: (creation) => resources.makeDirectories(paths(creation)),
  };
}

function rootfsStep({ snapshots }: ContainerCreateRooms): Step<ContainerCreation> {
  return {
    name: "rootfs",
    deadlineMs: snapshots.prepareDeadlineMs,
    intent: ({ record, image }) => snapshotIntent(record.id, image.top),
    act: async (creation) => {
      const { record, image } = creation;
      creation.rootfs = await snapshots.prepare({ containerId: record.id, top: image.top });
    },
  };
}

function hostPathsStep({ hostPaths }: ContainerCreateRooms): Step<ContainerCreation> {
  return {
    name: "host-paths",
    deadlineMs: POD_DEADLINES.hostPathsMs,
    act: async (creation, signal) => {
      creation.mounts = await hostPaths.resolve(creation.record.config.mounts, signal);
    },
  };
}

type TargetNamespace = Extract<ContainerPidNamespace, { readonly kind: "target" }>;

/** Pinned, so that the runtime joins the namespace meant even if the target ends and its pid is reused. */
function targetStep(
  { namespaces, processes }: ContainerCreateRooms,
  { target, path }: TargetNamespace,
): Step<ContainerCreation> {
  return {
    name: "pid-namespace",
    deadlineMs: POD_DEADLINES.namespacesMs,
    intent: () => namespacesIntent({ pid: path }),
    act: async () => {
      const { init } = target.state;
      await namespaces.pinPid({ pid: init.pid, path }).catch((error: unknown) => {
        throw processes.isAlive(init) ? error : targetEnded(target);
      });
      if (!processes.isAlive(init)) throw targetEnded(target);
    },
  };
}

function bundleStep({ bundles }: ContainerCreateRooms): Step<ContainerCreation> {
  return {
    name: "bundle",
    deadlineMs: POD_DEADLINES.filesMs,
    act: async (creation) => {
      creation.user = await bundles.write(creation);
    },
  };
}

function logStep({ logs }: ContainerCreateRooms): Step<ContainerCreation> {
  return {
    name: "log",
    deadlineMs: POD_DEADLINES.filesMs,
    act: ({ record }) => logs.prepare(record.place.logPath),
  };
}

function runtimeCreateStep(
  { runtime, processes }: ContainerCreateRooms,
  deadlineMs: number,
): Step<ContainerCreation> {
  return {
    name: "runtime-create",
    deadlineMs,
    intent: ({ record }) => runtime.intent(record.place),
    act: async (creation, signal): Promise<JsonObject | void> => {
      const { record, name, pidNamespace } = creation;
      const { tty, stdin, stdinOnce } = record.config;
      try {
        creation.created = await runtime.create(
          { place: record.place, name, terminal: tty, stdin, stdinOnce },
          signal,
        );
      } catch (error) {
        // In a namespace whose first process has ended the kernel starts no other: "out of memory".
        if (pidNamespace.kind === "target" && !processes.isAlive(pidNamespace.target.state.init)) {
          throw targetEnded(pidNamespace.target);
        }
        throw error;
      }
    },
  };
}
