/** {@link HostPorts} by nftables rules in a table of our own. @module */
import { FailedPreconditionError } from "../errors/mod.ts";
import type { SandboxId } from "../model/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { addressesOf, hostInterfacesOf } from "./cni_result.ts";
import type { FlowTable } from "./conntrack.ts";
import { appliesTo, canonicalIp, familyOf } from "./host_addresses.ts";
import { hostPortRuleset } from "./host_port_rules.ts";
import type { HostPortEntry, HostPorts, LoopbackRoute } from "./host_ports.ts";
import type { HostInterfaces } from "./host_interfaces.ts";
import { type Nft, nftMissing } from "./nft.ts";
import type { Attachment, PortMapping } from "./networks.ts";
import { SerialQueues } from "./serial_queues.ts";

export interface NftHostPortsOptions {
  readonly nft: Nft;
  /** In the family `inet`; nobody else may use it. */
  readonly table: string;
  readonly interfaces: HostInterfaces;
  readonly flows: FlowTable;
  readonly log: Logger;
}

export class NftHostPorts implements HostPorts {
  readonly #options: NftHostPortsOptions;
  /** What the table shall hold, or will once the write under way has ended. */
  readonly #entries = new Map<SandboxId, HostPortEntry>();
  /** Closed, but the kernel may not know it yet. */
  readonly #closing = new Map<SandboxId, HostPortEntry>();
  readonly #writes = new SerialQueues<"table">();
  /** Counts changes of the entries; a write that began after a change covers it. */
  #changes = 0;
  #written = 0;

  constructor(options: NftHostPortsOptions) {
    this.#options = options;
  }

  assertUsable(): void {
    if (!this.#options.nft.isInstalled()) throw nftMissing();
  }

  plan(
    sandboxId: SandboxId,
    mappings: readonly PortMapping[],
    attachment: Attachment,
  ): HostPortEntry {
    const all = addressesOf(attachment.result);
    const addresses = ([4, 6] as const).flatMap((family) =>
      all.find(({ ip }) => familyOf(ip) === family) ?? []
    );
    for (const { hostIp, hostPort } of mappings) {
      if (addresses.some(({ ip }) => appliesTo(hostIp, familyOf(ip)))) continue;
      throw new FailedPreconditionError(
        `Host port ${hostPort} of ${hostIp} cannot be opened: the network gave the pod no address of its family`,
        { field: "config.port_mappings", value: hostIp, remedy: "use a dual-stack network" },
      );
    }
    return {
      sandboxId,
      mappings: mappings.map((mapping) => ({ ...mapping, hostIp: canonicalIp(mapping.hostIp) })),
      addresses,
      loopbackRoutes: this.#loopbackRoutes(attachment),
      bridgePorts: hostInterfacesOf(attachment.result).filter((name) =>
        this.#options.interfaces.kind(name) === "bridge-port"
      ),
    };
  }

  async open(entry: HostPortEntry, signal: AbortSignal): Promise<void> {
    this.#entries.set(entry.sandboxId, entry);
    this.#closing.delete(entry.sandboxId);
    await this.#write(signal);
    // The guard is in the table before anything could come through.
    this.#switchOn(entry);
    await this.#forgetFlows(entry, signal);
  }

  async close(sandboxId: SandboxId, signal: AbortSignal): Promise<void> {
    // What is left of an earlier try is finished by this one.
    const entry = this.#entries.get(sandboxId) ?? this.#closing.get(sandboxId);
    if (entry === undefined) return;
    this.#entries.delete(sandboxId);
    this.#closing.set(sandboxId, entry);
    this.#switchOff(entry.loopbackRoutes);
    await this.#write(signal);
    this.#closing.delete(sandboxId);
    await this.#forgetFlows(entry, signal);
  }

  leadTo(sandboxId: SandboxId): boolean {
    return this.#entries.has(sandboxId) || this.#closing.has(sandboxId);
  }

  /** Takes over what an earlier process opened; the kernel is looked at by {@link reconcile}. */
  load(entry: HostPortEntry): void {
    this.#entries.set(entry.sandboxId, entry);
    this.#changes++;
  }

  /**
   * Makes the kernel's table what the record says: rules that are missing are added, those of nobody
   * removed.
   *
   * @throws {UnavailableError} the kernel did not take the rules
   */
  async reconcile(signal: AbortSignal): Promise<void> {
    const { nft, table } = this.#options;
    if (this.#entries.size === 0) {
      if (!nft.isInstalled() || !await nft.hasTable(table, signal)) return;
      this.#options.log.warn("Rules of host ports that belong to no pod are removed", { table });
    }
    this.#changes++;
    await this.#write(signal);
    for (const entry of this.#entries.values()) this.#switchOn(entry);
  }

  #loopbackRoutes({ result, ips }: Attachment): LoopbackRoute[] {
    // The kernel has no such thing for ::1.
    if (!ips.some((ip) => familyOf(ip) === 4)) return [];
    const { interfaces } = this.#options;
    const routed = hostInterfacesOf(result).filter((name) => interfaces.kind(name) === "routed");
    return routed.map((name) => {
      const isOurs = [...this.#entries.values()].some(({ loopbackRoutes }) =>
        loopbackRoutes.some((route) => route.interface === name && route.switchedOn)
      );
      return { interface: name, switchedOn: isOurs || !interfaces.routesLoopback(name) };
    });
  }

  #switchOn({ loopbackRoutes, bridgePorts }: HostPortEntry): void {
    const { interfaces } = this.#options;
    for (const route of loopbackRoutes) interfaces.routeLoopback(route.interface, true);
    for (const name of bridgePorts) interfaces.hairpin(name);
  }

  /** Before the guard leaves the table; what another pod needs stays on. */
  #switchOff(routes: readonly LoopbackRoute[]): void {
    const needed = new Set(
      [...this.#entries.values()].flatMap(({ loopbackRoutes }) =>
        loopbackRoutes.map((route) => route.interface)
      ),
    );
    for (const route of routes) {
      if (route.switchedOn && !needed.has(route.interface)) {
        this.#options.interfaces.routeLoopback(route.interface, false);
      }
    }
  }

  /** Writes the whole table; changes that come while one write runs share the next. */
  #write(signal: AbortSignal): Promise<void> {
    const change = ++this.#changes;
    return this.#writes.run("table", async () => {
      if (this.#written >= change) return;
      const upTo = this.#changes;
      const { nft, table } = this.#options;
      await nft.apply(hostPortRuleset(table, [...this.#entries.values()]), signal);
      this.#written = upTo;
    });
  }

  #forgetFlows({ mappings, addresses }: HostPortEntry, signal: AbortSignal): Promise<void> {
    const ports = mappings.filter(({ protocol }) => protocol === "udp").map((m) => m.hostPort);
    return this.#options.flows.forgetUdp(
      [...new Set(ports)],
      addresses.map(({ ip }) => familyOf(ip)),
      signal,
    );
  }
}
