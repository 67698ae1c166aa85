/**
 * Host ports of pods whose network has no plugin that opens them.
 *
 * @module
 */
import type { SandboxId } from "../model/mod.ts";
import type { Attachment, PortMapping } from "./networks.ts";

/** One address of a pod with the length of its network's prefix. */
export interface PodAddress {
  readonly ip: string;
  readonly prefix: number;
}

/** An interface of the host behind which a pod is: packets of the host's loopback must get through it. */
export interface LoopbackRoute {
  readonly interface: string;
  /** True if `route_localnet` was off: it is switched off again with the last pod. */
  readonly switchedOn: boolean;
}

/** Everything that the rules of one pod are made from; kept in the record until they are gone. */
export interface HostPortEntry {
  readonly sandboxId: SandboxId;
  readonly mappings: readonly PortMapping[];
  /** The first address of each family. */
  readonly addresses: readonly PodAddress[];
  readonly loopbackRoutes: readonly LoopbackRoute[];
  /** The pod's ports on bridges of the host. */
  readonly bridgePorts: readonly string[];
}

export interface HostPorts {
  /** @throws {FailedPreconditionError} this node cannot open host ports: says what is missing */
  assertUsable(): void;
  /**
   * What opening the ports will make, before it is made.
   *
   * @throws {FailedPreconditionError} a host address is of a family that the pod has no address of
   */
  plan(
    sandboxId: SandboxId,
    mappings: readonly PortMapping[],
    attachment: Attachment,
  ): HostPortEntry;
  /** Opens the ports. May be repeated. @throws {UnavailableError} the kernel did not take the rules */
  open(entry: HostPortEntry, signal: AbortSignal): Promise<void>;
  /** Closes every port of the pod. May be repeated; succeeds for one that has none. */
  close(sandboxId: SandboxId, signal: AbortSignal): Promise<void>;
  /** True while rules may lead to the pod's address: it must not be given to another pod. */
  leadTo(sandboxId: SandboxId): boolean;
}
