/**
 * The address by which this host is known to others, as Kubernetes' components choose it.
 *
 * @module
 */

/** Where the kernel tells of routes and addresses. */
export interface AddressSources {
  /** Text of a file, or undefined if the kernel has none: a family that is switched off. */
  readonly read: (path: string) => Promise<string | undefined>;
  readonly addresses: () => readonly InterfaceAddress[];
}

export type InterfaceAddress = Pick<
  Deno.NetworkInterfaceInfo,
  "name" | "family" | "address"
>;

interface DefaultRoute {
  readonly interfaceName: string;
  readonly metric: number;
}

const LOOPBACK = "lo";
const FAMILIES = [
  { family: "IPv4", path: "/proc/net/route", parse: ipv4DefaultRoutes },
  { family: "IPv6", path: "/proc/net/ipv6_route", parse: ipv6DefaultRoutes },
] as const;

/**
 * A global address of the interface that the default route leaves by, or of the loopback interface if
 * that one has none: of IPv4, or else of IPv6. Undefined without a default route.
 */
export async function hostAddress(sources: AddressSources = NODE): Promise<string | undefined> {
  const all = sources.addresses().filter(({ address }) => isGlobal(address));
  for (const { family, path, parse } of FAMILIES) {
    const routes = parse(await sources.read(path) ?? "");
    for (const { interfaceName } of routes.sort((a, b) => a.metric - b.metric)) {
      const on = (name: string) =>
        all.find((candidate) => candidate.name === name && candidate.family === family)?.address;
      const address = on(interfaceName) ?? on(LOOPBACK);
      if (address !== undefined) return address;
    }
  }
  return undefined;
}

/** Columns of proc_net(5): interface, destination, gateway, flags, two counters, metric, mask. */
function ipv4DefaultRoutes(text: string): DefaultRoute[] {
  return rows(text).flatMap(([interfaceName = "", destination, , , , , metric, mask]) =>
    destination === "00000000" && mask === "00000000"
      ? [{ interfaceName, metric: Number(metric) }]
      : []
  );
}

/** Columns: destination, its length, source, its length, next hop, metric, two counters, flags, interface. */
function ipv6DefaultRoutes(text: string): DefaultRoute[] {
  return rows(text).flatMap((
    [destination = "", length, , , , metric = "", , , , interfaceName = ""],
  ) =>
    // The kernel has a default route of its own through lo, which leads nowhere.
    /^0+$/.test(destination) && length === "00" && interfaceName !== LOOPBACK
      ? [{ interfaceName, metric: parseInt(metric, 16) }]
      : []
  );
}

function rows(text: string): string[][] {
  return text.split("\n").map((line) => line.trim().split(/\s+/));
}

/** Not of the loopback, of one link, or of several hosts. */
function isGlobal(address: string): boolean {
  if (!address.includes(":")) {
    const [first = 0, second] = address.split(".").map(Number);
    return first !== 0 && first !== 127 && first < 224 && !(first === 169 && second === 254);
  }
  return address !== "::" && address !== "::1" && !/^(fe[89ab]|ff)/i.test(address);
}

const NODE: AddressSources = {
  async read(path) {
    try {
      return await Deno.readTextFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  },
  addresses: () => Deno.networkInterfaces(),
};
