/** Versions of external programs, read from what `--version` prints. @module */

export interface Version {
  readonly numbers: readonly [major: number, minor: number, patch: number];
  /** As printed, with suffixes: `1.1.5+ds1`. */
  readonly text: string;
}

/**
 * The first version in a text.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(parseVersion("runc version 1.1.5+ds1\n")?.numbers, [1, 1, 5]);
 * ```
 */
export function parseVersion(text: string): Version | undefined {
  const found = /\bv?((\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?[0-9A-Za-z.+~-]*)/.exec(text);
  if (found === null) return undefined;
  const [, whole = "", major, minor, patch = "0"] = found;
  return { numbers: [Number(major), Number(minor), Number(patch)], text: whole };
}

/** Negative if `version` is older than `other`, 0 if equal, positive if newer; suffixes do not count. */
export function compareVersions(version: Version, other: readonly number[]): number {
  for (const [index, number] of version.numbers.entries()) {
    const difference = number - (other[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
