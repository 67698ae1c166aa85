/** Where CNI plugins are. @module */

export interface PluginPaths {
  /** Absolute directories, searched in order. */
  readonly dirs: readonly string[];
  /** Absolute path of an executable, undefined if no directory has it. */
  find(name: string): Promise<string | undefined>;
}

/** Looks at the directories each time: a plugin may be replaced while we run. */
export class PluginDirectories implements PluginPaths {
  readonly dirs: readonly string[];

  constructor(dirs: readonly string[]) {
    this.dirs = dirs.map((dir) => dir.replace(/(?<=.)\/+$/, ""));
  }

  async find(name: string): Promise<string | undefined> {
    if (name === "" || name.includes("/") || name === "." || name === "..") return undefined;
    for (const dir of this.dirs) {
      const path = `${dir}/${name}`;
      try {
        const { isFile, mode } = await Deno.stat(path);
        if (isFile && ((mode ?? 0) & 0o111) !== 0) return path;
      } catch {
        // Not here, or not readable: the next directory may have it, and its absence is reported.
      }
    }
    return undefined;
  }
}
