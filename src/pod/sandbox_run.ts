/**
 * Starting a sandbox, as data: the steps, what each leaves behind, and how long each may take.
 *
 * ```text
 * directories ─┬─┬─ namespaces ─┬─┬─ network-attach ── host-ports ── hosts-file
 *              │ └─ cgroup ─────┘ └─ pid-holder ── pid-namespace
 *              └─ shm ── files
 * ```
 * The last two of the second line only for a pod whose containers share a PID namespace.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import type {
  Attachment,
  AttachRequest,
  ChosenNetwork,
  HostPortEntry,
  HostPorts,
  Networks,
} from "../network/mod.ts";
import { attachmentIntent, hostPortsIntent } from "../network/mod.ts";
import { hostnameFile, hostsFile, resolvConfFile } from "../oci/mod.ts";
import type { Plan, Step } from "../state/steps.ts";
import type { NamespaceRequest, Namespaces, PinnableNamespace } from "../sys/namespaces.ts";
import type { ProcessIdentity } from "../sys/watching.ts";
import type { PodLayout } from "./layout.ts";
import type { NodeFiles } from "./node_files.ts";
import {
  cgroupIntent,
  directoriesIntent,
  namespacesIntent,
  type PodResources,
  shmIntent,
} from "./resources.ts";
import type { PodDeadlines } from "./deadlines.ts";
import type { PidHolders } from "./pid_holders.ts";
import type { SandboxRecord } from "./sandbox.ts";

export interface SandboxNetwork {
  readonly chosen: ChosenNetwork;
  readonly request: AttachRequest;
  /** True if no plugin of the network opens the pod's host ports, so that we do. */
  readonly ownHostPorts: boolean;
}

/** What the steps of one start share. */
export interface SandboxRun {
  readonly record: SandboxRecord;
  /** Undefined for host network. */
  readonly network: SandboxNetwork | undefined;
  /** Checked against the allow-list; none for host namespaces. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly shmBytes: bigint;
  /** Set by the network step. */
  attachment: Attachment | undefined;
  /** Set by the step that starts it. */
  pidHolder: ProcessIdentity | undefined;
}

export interface SandboxRunRooms {
  readonly layout: PodLayout;
  readonly namespaces: Namespaces;
  readonly networks: Pick<Networks, "attach">;
  readonly hostPorts: Pick<HostPorts, "assertUsable" | "plan" | "open">;
  readonly resources: PodResources;
  readonly pidHolders: Pick<PidHolders, "intent" | "start" | "pin">;
  readonly nodeFiles: NodeFiles;
  readonly deadlines: PodDeadlines;
}

/** The plan of RunPodSandbox. */
export function sandboxRunPlan(rooms: SandboxRunRooms, run: SandboxRun): Plan<SandboxRun> {
  const network = run.network === undefined ? [] : [
    networkStep(rooms, run.network),
    ...(run.network.ownHostPorts ? [hostPortsStep(rooms, run.network)] : []),
  ];
  const { pid } = run.record.namespaces;
  return [
    directoriesStep(rooms),
    {
      parallel: [
        [
          { parallel: [[namespacesStep(rooms)], [cgroupStep(rooms)]] },
          {
            parallel: [
              [...network, hostsFileStep(rooms)],
              ...(pid.kind === "pinned"
                ? [[pidHolderStep(rooms), pidNamespaceStep(rooms, pid.path)]]
                : []),
            ],
          },
        ],
        [
          ...(run.record.namespaces.ipc.kind === "pinned" ? [shmStep(rooms)] : []),
          filesStep(rooms),
        ],
      ],
    },
  ];
}

function directoriesStep({ layout, resources, deadlines }: SandboxRunRooms): Step<SandboxRun> {
  const paths = ({ record }: SandboxRun) => [layout.podDir(record.id), layout.podRunDir(record.id)];
  return {
    name: "directories",
    deadlineMs: deadlines.filesMs,
    intent: (run) => directoriesIntent(paths(run)),
    act: (run) => resources.makeDirectories(paths(run)),
  };
}

function namespacesStep({ namespaces, deadlines }: SandboxRunRooms): Step<SandboxRun> {
  return {
    name: "namespaces",
    deadlineMs: deadlines.namespacesMs,
    intent: ({ record }) => namespacesIntent(pinsOf(record)),
    act: async (run) => {
      const request: NamespaceRequest = {
        pins: pinsOf(run.record),
        hostname: run.record.hostname,
        sysctls: run.sysctls,
      };
      await namespaces.create(request);
    },
  };
}

function pidHolderStep({ pidHolders, deadlines }: SandboxRunRooms): Step<SandboxRun> {
  return {
    name: "pid-holder",
    deadlineMs: deadlines.pidHolderMs,
    intent: ({ record }) => pidHolders.intent(record),
    act: async (run, signal) => {
      run.pidHolder = await pidHolders.start(run.record, signal);
    },
  };
}

function pidNamespaceStep(
  { pidHolders, deadlines }: SandboxRunRooms,
  path: string,
): Step<SandboxRun> {
  return {
    name: "pid-namespace",
    deadlineMs: deadlines.namespacesMs,
    intent: () => namespacesIntent({ pid: path }),
    act: async ({ record, pidHolder }) => {
      if (pidHolder === undefined) throw new InternalError("A PID namespace without a holder");
      await pidHolders.pin(record, path, pidHolder);
    },
  };
}

function networkStep(
  { networks, deadlines }: SandboxRunRooms,
  network: SandboxNetwork,
): Step<SandboxRun> {
  return {
    name: "network-attach",
    deadlineMs: deadlines.networkMs,
    intent: () => attachmentIntent(network.chosen, network.request),
    act: async (run, signal): Promise<JsonObject> => {
      run.attachment = await networks.attach(network.chosen, network.request, signal);
      return { result: run.attachment.result };
    },
  };
}

function hostPortsStep(
  { hostPorts, deadlines }: SandboxRunRooms,
  { request }: SandboxNetwork,
): Step<SandboxRun> {
  let entry: HostPortEntry | undefined;
  return {
    name: "host-ports",
    deadlineMs: deadlines.filesMs,
    intent: ({ record, attachment }) => {
      if (attachment === undefined) throw new InternalError("Host ports come before the network");
      entry = hostPorts.plan(record.id, request.portMappings, attachment);
      return hostPortsIntent(entry);
    },
    act: async (_run, signal) => {
      if (entry !== undefined) await hostPorts.open(entry, signal);
    },
  };
}

function shmStep({ layout, resources, deadlines }: SandboxRunRooms): Step<SandboxRun> {
  return {
    name: "shm",
    deadlineMs: deadlines.filesMs,
    intent: ({ record }) => shmIntent(layout.podFiles(record.id).shm),
    act: ({ record, shmBytes }) => resources.mountShm(layout.podFiles(record.id).shm, shmBytes),
  };
}

function filesStep({ layout, nodeFiles, deadlines }: SandboxRunRooms): Step<SandboxRun> {
  return {
    name: "files",
    deadlineMs: deadlines.filesMs,
    act: async ({ record }) => {
      const files = layout.podFiles(record.id);
      const dns = record.config.dnsConfig;
      const resolvConf = resolvConfFile(dns) ?? await nodeFiles.resolvConf();
      await Promise.all([
        Deno.writeTextFile(files.hostname, hostnameFile(record.hostname), { mode: 0o644 }),
        Deno.writeTextFile(files.resolvConf, resolvConf, { mode: 0o644 }),
      ]);
    },
  };
}

function hostsFileStep({ layout, nodeFiles, deadlines }: SandboxRunRooms): Step<SandboxRun> {
  return {
    name: "hosts-file",
    deadlineMs: deadlines.filesMs,
    act: async ({ record, attachment }) => {
      const text = attachment === undefined
        ? await nodeFiles.hosts()
        : hostsFile(record.hostname, attachment.ips);
      await Deno.writeTextFile(layout.podFiles(record.id).hosts, text, { mode: 0o644 });
    },
  };
}

function cgroupStep({ resources, deadlines }: SandboxRunRooms): Step<SandboxRun> {
  return {
    name: "cgroup",
    deadlineMs: deadlines.filesMs,
    intent: ({ record }) =>
      cgroupIntent(record.cgroupParent, resources.missingCgroups(record.cgroupParent)),
    act: ({ record }, signal) => resources.makeCgroup(record.cgroupParent, signal),
  };
}

function pinsOf(record: SandboxRecord): Partial<Record<PinnableNamespace, string>> {
  const { net, ipc, uts } = record.namespaces;
  return {
    ...(net.kind === "pinned" ? { net: net.path } : {}),
    ...(ipc.kind === "pinned" ? { ipc: ipc.path } : {}),
    ...(uts.kind === "pinned" ? { uts: uts.path } : {}),
  };
}
