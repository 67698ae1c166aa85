/** Quantities as Kubernetes writes them. @module */

const SUFFIXES: Readonly<Record<string, readonly [numerator: bigint, denominator: bigint]>> = {
  n: [1n, 1_000_000_000n],
  u: [1n, 1_000_000n],
  m: [1n, 1_000n],
  "": [1n, 1n],
  k: [10n ** 3n, 1n],
  M: [10n ** 6n, 1n],
  G: [10n ** 9n, 1n],
  T: [10n ** 12n, 1n],
  P: [10n ** 15n, 1n],
  E: [10n ** 18n, 1n],
  Ki: [1n << 10n, 1n],
  Mi: [1n << 20n, 1n],
  Gi: [1n << 30n, 1n],
  Ti: [1n << 40n, 1n],
  Pi: [1n << 50n, 1n],
  Ei: [1n << 60n, 1n],
};

/**
 * A quantity times `scale`, rounded up, or undefined if the text is none: `1.5Gi`, `250m`, `1e3`.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(parseQuantity("250m", 1000n), 250n);
 * assert.equal(parseQuantity("64Mi"), 67108864n);
 * ```
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
 */
export function parseQuantity(text: string, scale = 1n): bigint | undefined {
  const match = /^\+?(\d{1,18})(?:\.(\d{0,9}))?(?:[eE]([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i))?$/
    .exec(text);
  if (match === null) return undefined;
  const [, whole = "", fraction = "", exponentText, suffix = ""] = match;
  let numerator = BigInt(whole + fraction) * scale;
  let denominator = 10n ** BigInt(fraction.length);
  if (exponentText !== undefined) {
    const exponent = Number(exponentText);
    if (Math.abs(exponent) > 18) return undefined;
    if (exponent >= 0) numerator *= 10n ** BigInt(exponent);
    else denominator *= 10n ** BigInt(-exponent);
  } else {
    const [by, over] = SUFFIXES[suffix]!;
    numerator *= by;
    denominator *= over;
  }
  return (numerator + denominator - 1n) / denominator;
}
