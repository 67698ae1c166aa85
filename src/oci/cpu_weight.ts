/**
 * CPU shares of the CRI (2 to 262,144) and the CPU weight of cgroup v2 (1 to 10,000). OCI runtimes turn
 * one into the other by one of two formulas, depending on their age, and several shares have the same
 * weight.
 *
 * @module
 */

const MAX_SHARES = 262_144;
const MAX_WEIGHT = 10_000;

/** The straight line that runtimes used until 2025. */
export function linearWeight(shares: bigint): bigint {
  if (shares < 2n) return 1n;
  return 1n + ((shares - 2n) * BigInt(MAX_WEIGHT - 1)) / BigInt(MAX_SHARES - 2);
}

/** The curve that meets the defaults of both: 1,024 shares are a weight of 100. */
export function curvedWeight(shares: bigint): bigint {
  if (shares <= 2n) return 1n;
  if (shares >= BigInt(MAX_SHARES)) return BigInt(MAX_WEIGHT);
  const bits = Math.log2(Number(shares));
  return BigInt(Math.ceil(10 ** ((bits * bits + 125 * bits) / 612 - 7 / 34)));
}

/**
 * The shares that a weight stands for: those asked for if either formula makes this weight of them,
 * else the least that the straight line makes it of.
 */
export function sharesOfWeight(weight: bigint, asked: bigint): bigint {
  if (linearWeight(asked) === weight || curvedWeight(asked) === weight) return asked;
  const span = BigInt(MAX_WEIGHT - 1);
  // Rounded up: the formula rounds down.
  return 2n + ((weight - 1n) * BigInt(MAX_SHARES - 2) + span - 1n) / span;
}
