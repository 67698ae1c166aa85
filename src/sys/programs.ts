/**
 * Programs of the node that are run by name. The synchronous forms are for folders of the system; a path
 * that an administrator chose may lie on a mount that hangs.
 *
 * @module
 */

/** Where system programs are; a service manager's own PATH may lack some of it. */
export const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Absolute path of an executable, undefined if the node has none of the name.
 *
 * @param searchPath directories with colons between; those that are not absolute are passed over
 */
export async function findProgram(name: string, searchPath: string): Promise<string | undefined> {
  for (const path of candidates(name, searchPath)) {
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

/** As {@link findProgram}. */
export function findProgramSync(
  name: string,
  searchPath: string = SYSTEM_PATH,
): string | undefined {
  return candidates(name, searchPath).find((path) => {
    try {
      return isProgram(Deno.statSync(path));
    } catch {
      return false;
    }
  });
}

/** False for what is missing or cannot be looked at: neither can be run. */
export async function isExecutable(path: string): Promise<boolean> {
  return await Deno.stat(path).then(isProgram, () => false);
}

function isProgram({ isFile, mode }: Deno.FileInfo): boolean {
  return isFile && ((mode ?? 0) & 0o111) !== 0;
}

function candidates(name: string, searchPath: string): string[] {
  return [...new Set(searchPath.split(":"))]
    .filter((directory) => directory.startsWith("/"))
    .map((directory) => `${directory}/${name}`);
}
