/**
 * Two settings of interfaces of the host without which rules alone do not lead everybody to a pod.
 *
 * - `route_localnet` of the interface that routes to the pod: else the kernel sends nothing out of it that
 *   comes from its loopback, as a connection to `127.0.0.1:<host port>` does.
 * - `hairpin_mode` of the pod's port on a bridge: with br_netfilter a packet whose destination the rules
 *   change back to the pod that sent it stays in the bridge, which gives nothing back to where it came from.
 *
 * @module
 */
import { isInterfaceName } from "./cni_result.ts";

export interface HostInterfaces {
  /** Undefined if there is no such interface. */
  kind(name: string): "bridge-port" | "routed" | undefined;
  routesLoopback(name: string): boolean;
  /** Succeeds for an interface that has gone. */
  routeLoopback(name: string, on: boolean): void;
  /** Switches hairpin mode on; it ends with the interface. Succeeds for one that has gone. */
  hairpin(name: string): void;
}

export class KernelInterfaces implements HostInterfaces {
  kind(name: string): "bridge-port" | "routed" | undefined {
    if (!isInterfaceName(name) || !exists(routeSetting(name))) return undefined;
    return exists(`/sys/class/net/${name}/brport`) ? "bridge-port" : "routed";
  }

  routesLoopback(name: string): boolean {
    return isInterfaceName(name) && Deno.readTextFileSync(routeSetting(name)).trim() === "1";
  }

  routeLoopback(name: string, on: boolean): void {
    if (isInterfaceName(name)) write(routeSetting(name), on ? "1" : "0");
  }

  hairpin(name: string): void {
    if (isInterfaceName(name)) write(`/sys/class/net/${name}/brport/hairpin_mode`, "1");
  }
}

function routeSetting(name: string): string {
  return `/proc/sys/net/ipv4/conf/${name}/route_localnet`;
}

function write(path: string, value: string): void {
  try {
    Deno.writeTextFileSync(path, value, { create: false });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
