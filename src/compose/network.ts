/** Pod networks and host ports, with what an earlier process left of them. @module */
import { createHash } from "node:crypto";
import type { Configuration } from "../config/mod.ts";
import {
  ATTACHMENT_KIND,
  attachmentResource,
  CniConfig,
  CniExec,
  CniNetworks,
  ConntrackFlows,
  HOST_PORTS_KIND,
  HostPortLedger,
  hostPortsResource,
  KernelInterfaces,
  Nft,
  NftHostPorts,
  parseAttachment,
  parseHostPorts,
  PluginDirectories,
  ProcListeningSockets,
  ProcOrphanPlugins,
} from "../network/mod.ts";
import type { Resource } from "../state/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { Machine } from "./node.ts";
import type { ServerPaths } from "./paths.ts";
import type { ServerRecord } from "./record.ts";

const RECONCILE_DEADLINE_MS = 30_000;

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
  /** Makes the kernel's rules what the record says; after everything half made was undone. */
  reconcile(): Promise<void>;
}

export async function openNetwork(options: NetworkOptions): Promise<PodNetworks> {
  const { configuration, paths, machine, record, log } = options;
  using undo = new DisposableStack();
  const plugins = new PluginDirectories(configuration.network.plugin_dirs);
  const config = undo.use(
    new CniConfig({
      configDir: configuration.network.network_dir,
      defaultNetwork: configuration.network.cni_default_network,
      plugins,
      watcher: machine.fileWatcher,
      logger: log,
    }),
  );
  await config.start();
  const networks = new CniNetworks({
    config,
    exec: new CniExec(machine.runner, plugins),
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
  const owned = undo.move();
  return {
    networks,
    hostPorts,
    ledger,
    load: () => load(options, hostPorts, ledger),
    reconcile: () => reconcile(hostPorts, log),
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
