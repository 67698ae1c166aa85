/** Contents of the files that a pod's containers share: hostname, hosts, resolv.conf. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { DNSConfig } from "../proto/mod.ts";

/** Longest that the kernel takes. */
const MAX_HOSTNAME = 64;

/**
 * The name a pod gets: the one given, the node's on the host network, else the start of its id.
 *
 * @throws {InvalidArgumentError} it is not a host name: letters, digits, dashes and dots
 */
export function podHostname(
  { given, sandboxId, node, hostNetwork }: {
    readonly given: string;
    readonly sandboxId: string;
    readonly node: string;
    readonly hostNetwork: boolean;
  },
): string {
  if (given === "") return hostNetwork ? node : sandboxId.slice(0, 12);
  if (given.length > MAX_HOSTNAME || !/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(given)) {
    throw new InvalidArgumentError(`Host name ${shown(given)} is not valid`, {
      field: "config.hostname",
      value: given,
      remedy: `give at most ${MAX_HOSTNAME} letters, digits, dashes and dots`,
    });
  }
  return given;
}

/** Content of /etc/hostname. */
export function hostnameFile(hostname: string): string {
  return `${hostname}\n`;
}

/** Content of /etc/hosts for a pod with a network of its own; the kubelet mounts its own over it. */
export function hostsFile(hostname: string, ips: readonly string[]): string {
  const lines = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    ...ips.map((ip) => `${ip}\t${hostname}`),
  ];
  return `${lines.join("\n")}\n`;
}

/**
 * Content of /etc/resolv.conf, or undefined if the request says nothing: the host's is copied then.
 *
 * @throws {InvalidArgumentError} an entry could end its line or is not one word
 */
export function resolvConfFile(dns: DNSConfig | undefined): string | undefined {
  const { servers = [], searches = [], options = [] } = dns ?? {};
  if (servers.length + searches.length + options.length === 0) return undefined;
  checkWords("searches", searches, /^[A-Za-z0-9_.-]+$/);
  checkWords("servers", servers, /^[0-9A-Fa-f.:]+(?:%[A-Za-z0-9_.-]+)?$/);
  checkWords("options", options, /^[A-Za-z0-9_:.-]+$/);
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}`]),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}`]),
  ].map((line) => `${line}\n`).join("");
}

function checkWords(list: string, words: readonly string[], form: RegExp): void {
  for (const word of words) {
    if (form.test(word)) continue;
    throw new InvalidArgumentError(`DNS entry ${shown(word)} cannot stand in resolv.conf`, {
      field: `config.dns_config.${list}`,
      value: word,
    });
  }
}
