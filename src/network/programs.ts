/** Programs of the node that are run by name. @module */

/** Where system programs are; a service manager's own PATH may lack some of it. */
export const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Absolute path of an executable, undefined if the node has none of the name. */
export function findProgram(name: string): string | undefined {
  for (const directory of SYSTEM_PATH.split(":")) {
    const path = `${directory}/${name}`;
    try {
      const { isFile, mode } = Deno.statSync(path);
      if (isFile && ((mode ?? 0) & 0o111) !== 0) return path;
    } catch {
      // Not here: the next directory may have it.
    }
  }
  return undefined;
}
