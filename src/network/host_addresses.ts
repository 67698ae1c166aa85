/** Addresses of the host that a port mapping may name. @module */
import { isIPv6 } from "node:net";

export type Family = 4 | 6;

export function familyOf(ip: string): Family {
  return isIPv6(ip) ? 6 : 4;
}

/** One spelling for each address: the shortest, in small letters. Empty stays empty. */
export function canonicalIp(ip: string): string {
  return isIPv6(ip) ? new URL(`http://[${ip}]`).hostname.slice(1, -1) : ip;
}

/** Empty, `0.0.0.0` and `::` stand for every address of the host. */
export function isWildcard(hostIp: string): boolean {
  return hostIp === "" || hostIp === "0.0.0.0" || canonicalIp(hostIp) === "::";
}

/** Whether a mapping is for packets of a family; without an address it is for both. */
export function appliesTo(hostIp: string, family: Family): boolean {
  return hostIp === "" || familyOf(hostIp) === family;
}

/** Whether two sockets could not be bound to these addresses with the same port. */
export function addressesCollide(a: string, b: string): boolean {
  const families = ([4, 6] as const).filter((family) =>
    appliesTo(a, family) && appliesTo(b, family)
  );
  return families.length > 0 &&
    (isWildcard(a) || isWildcard(b) || canonicalIp(a) === canonicalIp(b));
}
