/** Pod networks and host ports, with what an earlier process left of them. @module */
import { createHash } from "node:crypto";
import type { Configuration } from "../config/mod.ts";
import {
  AskedPluginVersions,
  ATTACHMENT_KIND,
  type AttachmentPayload,
  attachmentResource,
  CniConfig,
  CniExec,
  CniNetworks,
  ConntrackFlows,
  EnteredInterfaces,
  HOST_PORTS_KIND,
  HostPortLedger,
  hostPortsResource,
  KernelInterfaces,
  NetworkHealth,
  Nft,
  NftHostPorts,
  parseAttachment,
  parseHostPorts,
  PluginDirectories,
  PodCidrs,
  ProcListeningSockets,
  ProcOrphanPlugins,
} from "../network/mod.ts";
import type { SandboxId } from "../model/mod.ts";
import type { Resource } from "../state/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { Machine } from "./node.ts";
import type { ServerPaths } from "./paths.ts";
import type { ServerRecord } from "./record.ts";

const RECONCILE_DEADLINE_MS = 30_000;
/** No pod gets a network while it runs. */
const GC_DEADLINE_MS = 30_000;
const CHECK_DEADLINE_MS = 30_000;

export interface NetworkOptions {
  readonly configuration: Configuration;
  readonly paths: ServerPaths;
  readonly machine: Machine;
  readonly record: ServerRecord;
  readonly log: Logger;
}

export interface PodNetworks extends Disposable {
  readonly networks: CniNetworks;
  readonly hostPorts: NftHostPorts;
  readonly ledger: HostPortLedger;
  /** Takes over what the journal says; before anything is undone. */
  load(): Promise<void>;
  readonly health: NetworkHealth;
  readonly podCidrs: PodCidrs;
  /**
   * What is done behind the first answers: plugins take away what is left of pods that are gone, and tell
   * of pods whose network is not as it was made. Never rejects.
   */
  lookAfter(isReady: (id: SandboxId) => boolean): Promise<void>;
  /** Makes the kernel's rules what the record says; after everything half made was undone. */
  reconcile(): Promise<void>;
}

export async function openNetwork(options: NetworkOptions): Promise<PodNetworks> {
  const { configuration, paths, machine, record, log } = options;
  using undo = new DisposableStack();
  const plugins = new PluginDirectories(configuration.network.plugin_dirs);
  const exec = new CniExec(machine.runner, plugins);
  const config = undo.use(
    new CniConfig({
      configDir: configuration.network.network_dir,
      defaultNetwork: configuration.network.cni_default_network,
      plugins,
      versions: new AskedPluginVersions(exec, plugins),
      watcher: machine.fileWatcher,
      logger: log,
    }),
  );
  await config.start();
  const networks = new CniNetworks({
    config,
    exec,
    interfaces: new EnteredInterfaces(machine.runner),
    kernel: machine.kernel,
  });
  const ledger = new HostPortLedger(new ProcListeningSockets());
  const hostPorts = new NftHostPorts({
    nft: new Nft(machine.runner),
    table: hostPortTable(paths.root),
    interfaces: new KernelInterfaces(),
    flows: new ConntrackFlows(machine.runner, log),
    log,
  });
  record.podTypes.register(hostPortsResource(hostPorts));
  record.podTypes.register(attachmentResource({
    networks,
    orphans: new ProcOrphanPlugins(machine.processes, machine.processWatcher),
    hostPorts,
    ledger,
  }));
  const health = new NetworkHealth({
    networks,
    gracePeriodMs: configuration.network.cni_status_grace_period,
  });
  const stopping = new AbortController();
  undo.defer(() => stopping.abort());
  const owned = undo.move();
  return {
    networks,
    health,
    podCidrs: await PodCidrs.open(paths.podCidrs, log),
    hostPorts,
    ledger,
    load: () => load(options, hostPorts, ledger),
    reconcile: () => reconcile(hostPorts, log),
    lookAfter: async (isReady) => {
      await collectGarbage(options, networks, stopping.signal);
      await checkAttachments(options, networks, isReady, stopping.signal);
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** Servers with other roots on the same node have tables of their own. */
function hostPortTable(root: string): string {
  return `sauropod-hostports-${createHash("sha256").update(root).digest("hex").slice(0, 8)}`;
}

async function load(
  { machine, record, log }: NetworkOptions,
  hostPorts: NftHostPorts,
  ledger: HostPortLedger,
): Promise<void> {
  const { journal } = record.podSteps;
  for (const owner of await journal.owners()) {
    for (const resource of await journal.ofOwner(owner)) {
      try {
        loadResource(resource, machine.processes.bootId, hostPorts, ledger);
      } catch (error) {
        log.error("A recorded network resource cannot be read", { owner, error });
      }
    }
  }
}

function loadResource(
  { kind, payload, bootId }: Resource,
  presentBootId: string,
  hostPorts: NftHostPorts,
  ledger: HostPortLedger,
): void {
  if (kind === ATTACHMENT_KIND) {
    const { request } = parseAttachment(payload);
    const pod = `${request.podNamespace}/${request.podName}`;
    ledger.load({ sandboxId: request.sandboxId, pod }, request.portMappings);
  }
  // Rules did not outlast the boot they were made in.
  if (kind === HOST_PORTS_KIND && bootId === presentBootId) hostPorts.load(parseHostPorts(payload));
}

async function reconcile(hostPorts: NftHostPorts, log: Logger): Promise<void> {
  try {
    await hostPorts.reconcile(AbortSignal.timeout(RECONCILE_DEADLINE_MS));
  } catch (error) {
    // Pods run on; the next pod with host ports tries again and says so to its caller.
    log.error("Host ports of running pods may not be open", { error });
  }
}

/** Asks one plugin after the other, so that a node that starts has its processors for pods. */
async function checkAttachments(
  { machine, record, log }: NetworkOptions,
  networks: CniNetworks,
  isReady: (id: SandboxId) => boolean,
  stopping: AbortSignal,
): Promise<void> {
  const attachments = await attachmentsOf(record, machine.processes.bootId, log);
  for (const { network, request, result } of attachments) {
    const { sandboxId: id } = request;
    if (result === undefined || !isReady(id)) continue;
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(CHECK_DEADLINE_MS)]);
    try {
      await networks.check(network, request, result, signal);
    } catch (error) {
      // One that is being stopped is not expected to be whole.
      if (stopping.aborted || !isReady(id)) continue;
      log.warn("A pod's network is not as it was made", { id, error });
    }
  }
}

async function collectGarbage(
  { machine, record, log }: NetworkOptions,
  networks: CniNetworks,
  stopping: AbortSignal,
): Promise<void> {
  try {
    const problems = await networks.collectGarbage(async (name) => {
      const attachments = await attachmentsOf(record, machine.processes.bootId, log);
      return attachments
        .filter(({ network }) => network.name === name)
        .map(({ request }) => request.sandboxId);
    }, AbortSignal.any([stopping, AbortSignal.timeout(GC_DEADLINE_MS)]));
    for (const problem of problems) {
      log.warn("A plugin could not take away what is left of pods that are gone", { problem });
    }
  } catch (error) {
    log.error("What is left of pods that are gone could not be looked for", { error });
  }
}

/** Attachments made in this boot, half made ones included. */
async function attachmentsOf(
  { podSteps }: ServerRecord,
  presentBootId: string,
  log: Logger,
): Promise<AttachmentPayload[]> {
  const found: AttachmentPayload[] = [];
  for (const owner of await podSteps.journal.owners()) {
    for (const { kind, payload, bootId } of await podSteps.journal.ofOwner(owner)) {
      if (kind !== ATTACHMENT_KIND || bootId !== presentBootId) continue;
      try {
        found.push(parseAttachment(payload));
      } catch (error) {
        log.error("A recorded network resource cannot be read", { owner, error });
      }
    }
  }
  return found;
}
