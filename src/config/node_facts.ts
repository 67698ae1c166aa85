/** The few facts about the node that decide what a configuration means. @module */

export interface NodeFacts {
  /** Absolute path of a program by its name, or undefined. */
  findExecutable(name: string): Promise<string | undefined>;
  isExecutable(path: string): Promise<boolean>;
  /** Names in a directory; none if it cannot be read. */
  list(directory: string): Promise<readonly string[]>;
  /** True if systemd runs this node. */
  hasSystemd(): Promise<boolean>;
}

/** Where administrators' programs are even if a service's PATH leaves it out. */
const FALLBACK_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The facts of this node. `path` is the PATH of the process. */
export function localNode(path: string | undefined): NodeFacts {
  const directories = [...new Set(`${path ?? ""}:${FALLBACK_PATH}`.split(":"))]
    .filter((directory) => directory.startsWith("/"));
  return {
    async findExecutable(name: string): Promise<string | undefined> {
      for (const directory of directories) {
        const candidate = `${directory}/${name}`;
        if (await isExecutable(candidate)) return candidate;
      }
      return undefined;
    },
    isExecutable,
    async list(directory: string): Promise<readonly string[]> {
      try {
        return (await Array.fromAsync(Deno.readDir(directory))).map((entry) => entry.name).sort();
      } catch {
        // Missing and unreadable mean the same here: nothing in it can apply.
        return [];
      }
    },
    async hasSystemd(): Promise<boolean> {
      return await Deno.stat("/run/systemd/system").then((info) => info.isDirectory, () => false);
    },
  };
}

async function isExecutable(path: string): Promise<boolean> {
  return await Deno.stat(path).then(
    (info) => info.isFile && ((info.mode ?? 0) & 0o111) !== 0,
    () => false,
  );
}
