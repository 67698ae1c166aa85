/** Traffic limits of a pod from its annotations, for the `bandwidth` capability. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";

/** Largest burst that the kernel's token bucket takes, in bits. */
const BURST = (2 ** 32 - 1) * 8 - 1;
const INGRESS = "kubernetes.io/ingress-bandwidth";
const EGRESS = "kubernetes.io/egress-bandwidth";

/**
 * Bits per second, or undefined if the pod has no limit.
 *
 * @throws {InvalidArgumentError} an annotation is not a quantity from 1k to 1P
 */
export function bandwidthOf(annotations: Readonly<Record<string, string>>): JsonObject | undefined {
  const ingress = limitOf(annotations, INGRESS);
  const egress = limitOf(annotations, EGRESS);
  if (ingress === undefined && egress === undefined) return undefined;
  return {
    ...(ingress === undefined ? {} : { ingressRate: ingress, ingressBurst: BURST }),
    ...(egress === undefined ? {} : { egressRate: egress, egressBurst: BURST }),
  };
}

function limitOf(annotations: Readonly<Record<string, string>>, key: string): number | undefined {
  if (!Object.hasOwn(annotations, key)) return undefined;
  const text = annotations[key] ?? "";
  const value = parseQuantity(text);
  if (value === undefined || value < 1e3 || value > 1e15) {
    throw new InvalidArgumentError(
      `Annotation ${key} ${shown(text)} is not a quantity from 1k to 1P`,
      { field: `config.annotations["${key}"]`, value: text },
    );
  }
  return Math.floor(value);
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A Kubernetes quantity: `10M`, `1.5Gi`, `1e6`; undefined if it is none. */
export function parseQuantity(text: string): number | undefined {
  const match = /^(\+?[0-9]{1,20}(?:\.[0-9]{0,20})?)(?:[eE]([+-]?[0-9]{1,2})|([a-zA-Z]{0,2}))$/
    .exec(text);
  if (match === null) return undefined;
  const [, digits = "", exponent, suffix = ""] = match;
  if (exponent !== undefined) return Number(`${digits}e${exponent}`);
  const unit = Object.hasOwn(UNITS, suffix) ? UNITS[suffix] : undefined;
  return unit === undefined ? undefined : Number(digits) * unit;
}
