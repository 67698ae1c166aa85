/** The few facts about the node that decide what a configuration means. @module */
import { findProgram, isExecutable, SYSTEM_PATH } from "../sys/programs.ts";

export interface NodeFacts {
  /** Absolute path of a program by its name, or undefined. */
  findExecutable(name: string): Promise<string | undefined>;
  isExecutable(path: string): Promise<boolean>;
  /** Names in a directory; none if it cannot be read. */
  list(directory: string): Promise<readonly string[]>;
  /** True if systemd runs this node as init, and takes orders. */
  hasSystemd(): Promise<boolean>;
}

/** The facts of this node. `path` is the PATH of the process. */
export function localNode(path: string | undefined): NodeFacts {
  // What administrators install counts even if a service's PATH leaves its place out.
  const searchPath = `${path ?? ""}:${SYSTEM_PATH}`;
  return {
    findExecutable: (name) => findProgram(name, searchPath),
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
      // The directory says that it is init (sd_booted(3)), the socket is where it is asked for units.
      const [booted, asked] = await Promise.all(
        ["/run/systemd/system", "/run/systemd/private"].map((path) =>
          Deno.stat(path).catch(() => undefined)
        ),
      );
      return booted?.isDirectory === true && asked?.isSocket === true;
    },
  };
}
