/** Tests that not every machine can run. @module */

/**
 * Name and `ignore` of a test: one that is skipped says why in its name, which is all that a report
 * has of it.
 *
 * @param lacking what the machine lacks; undefined where nothing is lacking
 */
export function unless(
  lacking: string | undefined,
  name: string,
): { readonly name: string; readonly ignore: boolean } {
  return lacking === undefined
    ? { name, ignore: false }
    : { name: `${name} (skipped: ${lacking})`, ignore: true };
}
