/**
 * What a pod asks of its network by annotation: addresses and a hardware address, as an element of the
 * Network Plumbing Working Group's standard (section 4.1) for the cluster-wide default network.
 *
 * @module
 */
import { isIP } from "node:net";
import {
  FailedPreconditionError,
  InvalidArgumentError,
  shown,
  UnimplementedError,
} from "../errors/mod.ts";
import type { CniList } from "./cni_list.ts";

/** Nothing is asked for where a list or text is empty. */
export interface NetworkSelection {
  /** Addresses, each with or without a prefix length (capability `ips`). */
  readonly ips: readonly string[];
  /** Hardware address in small letters (capability `mac`). */
  readonly mac: string;
}

export interface SelectionAnnotation {
  readonly key: string;
  readonly value: string;
}

const NOTHING: NetworkSelection = { ips: [], mac: "" };
const MAX_IPS = 16;
const REMEDY = 'write [{"name":"<network>","ips":["10.1.0.7/24"],"mac":"02:00:00:00:00:07"}]';
/** Keys of an element that mean something here; the others would change the pod's network, too. */
const KEYS: readonly string[] = ["name", "namespace", "ips", "mac"];

/**
 * A name alone (`namespace/name@interface`) asks for nothing: the pod has no other network.
 *
 * @throws {InvalidArgumentError} the value is not one element for this network
 * @throws {UnimplementedError} it asks for something else than addresses
 * @throws {FailedPreconditionError} no plugin of the network takes what it asks for
 */
export function networkSelection(
  annotation: SelectionAnnotation,
  list: CniList,
): NetworkSelection {
  const { key, value } = annotation;
  const element = elementOf(annotation);
  if (element === undefined) return NOTHING;
  const other = Object.keys(element).find((name) => !KEYS.includes(name));
  if (other !== undefined) {
    throw new UnimplementedError(`Annotation ${key} asks for ${shown(other)}, which is not built`, {
      field: fieldOf(annotation),
      value,
      remedy: "leave it out; name, namespace, ips and mac are known",
    });
  }
  if (element["name"] !== list.name) {
    throw wrong(annotation, `does not name the pod network, which is "${list.name}"`);
  }
  const selection = { ips: ipsOf(annotation, element), mac: macOf(annotation, element) };
  for (const [capability, asked] of Object.entries(selection)) {
    if (asked.length === 0) continue;
    if (list.plugins.some(({ capabilities }) => capabilities.has(capability))) continue;
    throw new FailedPreconditionError(
      `Annotation ${key} asks for ${capability}, which no plugin of network "${list.name}" takes`,
      {
        field: fieldOf(annotation),
        value,
        remedy: `declare {"capabilities":{"${capability}":true}} at a plugin that takes it`,
      },
    );
  }
  return selection;
}

function elementOf(annotation: SelectionAnnotation): Record<string, unknown> | undefined {
  const text = annotation.value.trim();
  if (!/^[[{]/.test(text)) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw wrong(annotation, "is not JSON");
  }
  const [element, ...others] = Array.isArray(json) ? json : [json];
  if (typeof element !== "object" || element === null || Array.isArray(element)) {
    throw wrong(annotation, "has no element");
  }
  if (others.length > 0) throw wrong(annotation, "has more than one element");
  return element;
}

function ipsOf(annotation: SelectionAnnotation, { ips }: Record<string, unknown>): string[] {
  if (ips === undefined) return [];
  if (!Array.isArray(ips) || ips.length > MAX_IPS) {
    throw wrong(annotation, `has ips that are no list of up to ${MAX_IPS}`);
  }
  return ips.map((ip) => {
    const [, address = "", prefix] = /^([^/%]+)(?:\/([0-9]{1,3}))?$/.exec(String(ip)) ?? [];
    const family = isIP(address);
    if (family === 0 || Number(prefix ?? 0) > (family === 4 ? 32 : 128)) {
      throw wrong(annotation, `has the address ${shown(ip)}`);
    }
    return String(ip);
  });
}

function macOf(annotation: SelectionAnnotation, { mac }: Record<string, unknown>): string {
  if (mac === undefined) return "";
  const text = String(mac).toLowerCase();
  const isAddress = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text);
  // The lowest bit of the first byte is that of groups, which no interface can have.
  if (!isAddress || Number.parseInt(text.slice(1, 2), 16) % 2 === 1 || !/[1-9a-f]/.test(text)) {
    throw wrong(annotation, `has the hardware address ${shown(mac)}`);
  }
  return text;
}

function fieldOf({ key }: SelectionAnnotation): string {
  return `config.annotations["${key}"]`;
}

function wrong(annotation: SelectionAnnotation, what: string): InvalidArgumentError {
  const { key, value } = annotation;
  return new InvalidArgumentError(`Annotation ${key} ${shown(value)} ${what}`, {
    field: fieldOf(annotation),
    value,
    remedy: REMEDY,
  });
}
