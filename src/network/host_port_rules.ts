/**
 * The nftables ruleset that host ports are, as text for `nft -f -`.
 *
 * ```text
 *  from outside ─► prerouting ─┐   to an address of the host
 *  from the host ──► output ───┴─► hostports ─► DNAT to the pod
 *                                                    │
 *  postrouting ◄─────────────────────────────────────┘
 *     └─► pod-<id>: masquerade what comes from the host's loopback or from the pod's own network,
 *                   whose answers would otherwise not pass the host
 * ```
 *
 * The table is always written whole, in one transaction of the kernel: what is in it is what the record
 * says, whatever was in it before. Connections that are established stay.
 *
 * @module
 */
import { appliesTo, type Family, familyOf, isWildcard } from "./host_addresses.ts";
import type { HostPortEntry, PodAddress } from "./host_ports.ts";

/** @param table name of a table in the family `inet` that nobody else uses */
export function hostPortRuleset(table: string, entries: readonly HostPortEntry[]): string {
  // The first line makes the second one succeed: deleting what is not there is an error.
  const clear = `add table inet ${table}\ndelete table inet ${table}\n`;
  if (entries.length === 0) return clear;
  const interfaces = new Set(
    entries.flatMap(({ loopbackRoutes }) => loopbackRoutes.map((route) => route.interface)),
  );
  return `${clear}table inet ${table} {
${
    map(
      "hostip4",
      "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
      dnat(entries, 4, "one"),
    )
  }
${map("any4", "inet_proto . inet_service : ipv4_addr . inet_service", dnat(entries, 4, "any"))}
${
    map(
      "hostip6",
      "ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service",
      dnat(entries, 6, "one"),
    )
  }
${map("any6", "inet_proto . inet_service : ipv6_addr . inet_service", dnat(entries, 6, "any"))}
${map("pods4", "ipv4_addr : verdict", podChains(entries, 4))}
${map("pods6", "ipv6_addr : verdict", podChains(entries, 6))}
${entries.map((entry) => podChain(entry)).join("\n")}
	chain hostports {
		dnat ip to ip daddr . meta l4proto . th dport map @hostip4
		dnat ip to meta l4proto . th dport map @any4
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @hostip6
		dnat ip6 to meta l4proto . th dport map @any6
	}
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		fib daddr type local jump hostports
	}
	chain output {
		type nat hook output priority -100; policy accept;
		fib daddr type local jump hostports
	}
	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		ct status dnat ip daddr vmap @pods4
		ct status dnat ip6 daddr vmap @pods6
	}
${loopbackGuard([...interfaces])}}
`;
}

/**
 * With `route_localnet` the kernel would let what is behind the interface reach the host's loopback,
 * and pose as it. Before connection tracking, so that answers to the host's own connections pass.
 */
function loopbackGuard(interfaces: readonly string[]): string {
  if (interfaces.length === 0) return "";
  const names = interfaces.map((name) => `"${name}"`).join(", ");
  return `	chain loopback-guard {
		type filter hook prerouting priority -300; policy accept;
		iifname { ${names} } ip daddr 127.0.0.0/8 drop
		iifname { ${names} } ip saddr 127.0.0.0/8 drop
	}
`;
}

/** Elements for mappings of one address of the host, or of all. A later pod wins over an earlier one. */
function dnat(entries: readonly HostPortEntry[], family: Family, which: "one" | "any"): string[] {
  const elements = new Map<string, string>();
  for (const entry of entries) {
    const address = addressOf(entry, family);
    if (address === undefined) continue;
    for (const { hostIp, protocol, hostPort, containerPort } of entry.mappings) {
      if (!appliesTo(hostIp, family) || isWildcard(hostIp) !== (which === "any")) continue;
      const port = `${protocol} . ${hostPort}`;
      const key = which === "any" ? port : `${hostIp} . ${port}`;
      elements.set(key, `${key} comment "${entry.sandboxId}" : ${address.ip} . ${containerPort}`);
    }
  }
  return [...elements.values()];
}

function podChains(entries: readonly HostPortEntry[], family: Family): string[] {
  const elements = new Map<string, string>();
  for (const entry of entries) {
    const ip = addressOf(entry, family)?.ip;
    if (ip !== undefined) elements.set(ip, `${ip} : jump ${podChainName(entry)}`);
  }
  return [...elements.values()];
}

function podChain(entry: HostPortEntry): string {
  const ports = new Set(
    entry.mappings.map(({ protocol, hostPort }) =>
      `meta l4proto ${protocol} ct original proto-dst ${hostPort}`
    ),
  );
  const sources = entry.addresses.flatMap(({ ip, prefix }) =>
    familyOf(ip) === 4
      ? ["ip saddr 127.0.0.0/8", `ip saddr ${ip}/${prefix}`]
      : [`ip6 saddr ${ip}/${prefix}`]
  );
  const rules = sources.flatMap((source) =>
    [...ports].map((port) => `\t\t${source} ${port} masquerade\n`)
  );
  return `\tchain ${podChainName(entry)} {\n${rules.join("")}\t}`;
}

function podChainName({ sandboxId }: HostPortEntry): string {
  return `pod-${sandboxId}`;
}

function map(name: string, type: string, elements: readonly string[]): string {
  const list = elements.length === 0 ? "" : `\t\telements = { ${elements.join(", ")} }\n`;
  return `\tmap ${name} {\n\t\ttype ${type}\n${list}\t}`;
}

function addressOf(entry: HostPortEntry, family: Family): PodAddress | undefined {
  return entry.addresses.find(({ ip }) => familyOf(ip) === family);
}
