/**
 * Takes away what tests left on the host, after they were cut off, too: everything that can be traced
 * to one temporary folder.
 *
 * @module
 */

/**
 * Ends the processes that work in `directory`, unmounts what is mounted below it, removes bridges that
 * network configurations in it name, cgroups of its processes, loop devices on its files, and it.
 *
 * @returns one line for each thing on the host (files apart) that was left
 */
export async function sweep(directory: string): Promise<string[]> {
  const bridges = await bridgesNamedIn(directory);
  const cgroups = new Set<string>();
  const found: string[] = [];
  // A monitor may outlive its container for a moment, or the other way round.
  for (let round = 0; round < 100; round++) {
    const processes = processesOf(directory);
    if (processes.length === 0) break;
    for (const { pid, command, cgroup } of processes) {
      if (round === 0) found.push(`process ${pid}: ${command}`);
      for (const path of cgroup) cgroups.add(path);
      tryTo(() => Deno.kill(pid, "SIGKILL"));
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const path of mountsBelow(directory).reverse()) {
    found.push(`mount ${path}`);
    await output("umount", "-l", path);
  }
  for (const line of (await output("losetup", "-l", "-n", "-O", "NAME,BACK-FILE")).split("\n")) {
    const [device, file] = line.trim().split(/\s+/);
    if (device === undefined || !file?.startsWith(`${directory}/`)) continue;
    found.push(`loop device ${device}`);
    await output("losetup", "-d", device);
  }
  for (const name of bridges) {
    if (!await exists(`/sys/class/net/${name}`)) continue;
    found.push(`bridge ${name}`);
    await output("ip", "link", "delete", name);
  }
  for (const path of cgroups) removeCgroup(path);
  await output("rm", "-rf", "--one-file-system", directory);
  return found;
}

interface FoundProcess {
  readonly pid: number;
  readonly command: string;
  /** Absolute paths of its cgroups that are a pod's. */
  readonly cgroup: readonly string[];
}

/** By what they were started with or in, and containers by where their root file system lies. */
function processesOf(directory: string): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === Deno.pid) continue;
    const read = (file: string) => tryTo(() => Deno.readTextFileSync(`/proc/${pid}/${file}`)) ?? "";
    const command = read("cmdline").replaceAll("\0", " ").trim();
    const root = read("mountinfo").split("\n").find((line) => line.split(" ")[4] === "/") ?? "";
    if (
      command.includes(directory) || root.includes(`${directory}/`) ||
      read("environ").split("\0").includes(`TMPDIR=${directory}`)
    ) {
      found.push({ pid, command: command.slice(0, 160), cgroup: podCgroups(read("cgroup")) });
    }
  }
  return found;
}

function podCgroups(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(\/sauropod.*)$/.exec(line) ?? [];
    if (path === "") return [];
    const hierarchies = controllers === "" ? ["unified", ""] : [controllers.replace("name=", "")];
    return hierarchies.map((hierarchy) => `/sys/fs/cgroup/${hierarchy}${path}`);
  });
}

/** With what is below it, and its parents of ours as far as they are empty. */
function removeCgroup(path: string): void {
  const removeBelow = (folder: string) => {
    for (const { name, isDirectory } of tryTo(() => [...Deno.readDirSync(folder)]) ?? []) {
      if (isDirectory) removeBelow(`${folder}/${name}`);
    }
    tryTo(() => Deno.removeSync(folder));
  };
  removeBelow(path);
  for (let parent = path; /\/sauropod[^/]*\//.test(parent);) {
    parent = parent.slice(0, parent.lastIndexOf("/"));
    tryTo(() => Deno.removeSync(parent));
  }
}

function mountsBelow(directory: string): string[] {
  return Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${directory}/`));
}

async function bridgesNamedIn(directory: string): Promise<string[]> {
  const files = await output("find", directory, "-xdev", "-name", "*.conflist");
  return files.split("\n").filter((path) => path !== "").flatMap((path) => {
    const text = tryTo(() => Deno.readTextFileSync(path)) ?? "";
    return [...text.matchAll(/"bridge":\s*"([\w.-]{1,15})"/g)].map((match) => match[1]!);
  });
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function output(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** Undefined where the thing has gone meanwhile, which is what is wanted. */
function tryTo<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
