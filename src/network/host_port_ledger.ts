/**
 * Who has which port of the host: a port is asked for before anything of a pod is made, and a second
 * pod is told who has it.
 *
 * @module
 */
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import type { SandboxId } from "../model/mod.ts";
import { addressesCollide, canonicalIp } from "./host_addresses.ts";
import type { ListeningSockets } from "./listening_sockets.ts";
import type { PortMapping } from "./networks.ts";

export interface PortHolder {
  readonly sandboxId: SandboxId;
  /** `namespace/name`, for messages. */
  readonly pod: string;
}

interface Claim {
  readonly holder: PortHolder;
  readonly mappings: readonly PortMapping[];
}

const FIELD = "config.port_mappings";

export class HostPortLedger {
  readonly #claims = new Map<SandboxId, Claim>();
  readonly #sockets: ListeningSockets;

  constructor(sockets: ListeningSockets) {
    this.#sockets = sockets;
  }

  /**
   * Reserves the ports until {@link release}.
   *
   * @throws {InvalidArgumentError} the pod wants one port for two of its own
   * @throws {FailedPreconditionError} another pod has one of them: names it
   */
  claim(holder: PortHolder, mappings: readonly PortMapping[]): void {
    if (mappings.length === 0) return;
    assertDistinct(mappings);
    for (const other of this.#claims.values()) {
      if (other.holder.sandboxId === holder.sandboxId) continue;
      for (const mapping of mappings) {
        if (!other.mappings.some((taken) => collide(mapping, taken))) continue;
        throw new FailedPreconditionError(
          `Host port ${
            portName(mapping)
          } is taken by pod ${other.holder.pod}, sandbox ${other.holder.sandboxId}`,
          {
            field: FIELD,
            value: portName(mapping),
            id: other.holder.sandboxId,
            remedy: "stop that pod, or ask for another port",
          },
        );
      }
    }
    this.#claims.set(holder.sandboxId, { holder, mappings });
  }

  /**
   * For ports that shall be led to a pod: a program of the host that listens there would get nothing
   * any more.
   *
   * @throws {FailedPreconditionError} a program of the host has one of them: names it if it can be told
   */
  async assertNotListening(mappings: readonly PortMapping[]): Promise<void> {
    for (const mapping of mappings) {
      const sockets = await this.#sockets.withPort(mapping.protocol, mapping.hostPort);
      const taken = sockets.find(({ address }) => addressesCollide(address, mapping.hostIp));
      if (taken === undefined) continue;
      const holder = await this.#sockets.holderOf(taken);
      const who = holder === undefined
        ? "a program of the host"
        : `process ${holder.pid} (${holder.name}) of the host`;
      throw new FailedPreconditionError(
        `Host port ${portName(mapping)} is taken by ${who}, which listens on ${
          taken.address || "all addresses"
        }`,
        {
          field: FIELD,
          value: portName(mapping),
          remedy: "end that program, or ask for another port or address",
        },
      );
    }
  }

  /** Succeeds for a pod that has none. */
  release(sandboxId: SandboxId): void {
    this.#claims.delete(sandboxId);
  }

  /** Takes over a claim of an earlier process. */
  load(holder: PortHolder, mappings: readonly PortMapping[]): void {
    if (mappings.length > 0) this.#claims.set(holder.sandboxId, { holder, mappings });
  }
}

/** Other than between pods, one address beside all addresses is fine: the one is looked at first. */
function assertDistinct(mappings: readonly PortMapping[]): void {
  const seen = new Map<string, number>();
  mappings.forEach((mapping, index) => {
    const key = `${mapping.protocol} ${mapping.hostPort} ${canonicalIp(mapping.hostIp)}`;
    const other = seen.get(key) ?? mapping.containerPort;
    if (other !== mapping.containerPort) {
      throw new InvalidArgumentError(
        `Host port ${
          portName(mapping)
        } is to lead to port ${other} and to port ${mapping.containerPort} of the pod`,
        { field: `${FIELD}[${index}]`, value: portName(mapping), remedy: "use two host ports" },
      );
    }
    seen.set(key, mapping.containerPort);
  });
}

function collide(a: PortMapping, b: PortMapping): boolean {
  return a.protocol === b.protocol && a.hostPort === b.hostPort &&
    addressesCollide(a.hostIp, b.hostIp);
}

function portName({ protocol, hostPort, hostIp }: PortMapping): string {
  const address = hostIp === "" ? "" : hostIp.includes(":") ? `[${hostIp}]:` : `${hostIp}:`;
  return `${address}${hostPort}/${protocol}`;
}
