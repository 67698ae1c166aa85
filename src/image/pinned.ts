/** Images that garbage collection must leave alone: CRI-O's `pinned_images`. @module */

/**
 * True if a pattern fits a name: the same text, or the text before `*` or between two `*` occurring
 * anywhere in it. Upper and lower case are alike.
 */
export function matchesPinned(names: readonly string[], patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const wanted = pattern.toLowerCase();
    if (!wanted.endsWith("*")) return names.some((name) => name.toLowerCase() === wanted);
    const text = wanted.slice(wanted.startsWith("*") ? 1 : 0, -1);
    return names.some((name) => name.toLowerCase().includes(text));
  });
}
