/**
 * What a test node has on the host: processes, mounts, namespaces, links, cgroups, leases, files.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** The names by which things of a node are recognised. */
export interface NodeNames {
  readonly directory: string;
  readonly root: string;
  readonly bridge: string;
  readonly cgroupParent: string;
  readonly leases: string;
}

/** One line for each thing that is left; empty once everything was removed. */
export async function residueOf(node: NodeNames): Promise<string[]> {
  return [
    ...(await processesOf(node)).map(({ pid, command }) => `process ${pid}: ${command}`),
    ...mountsOf(node).map((path) => `mount ${path}`),
    ...(await filesBelow(`${node.directory}/namespaces`)).map((path) => `namespace pin ${path}`),
    ...(await linksOf(node)).map((name) => `link ${name} on ${node.bridge}`),
    ...(await hostPortTableOf(node)).map((table) => `nftables table ${table}`),
    ...cgroupsOf(node).map((path) => `cgroup ${path}`),
    ...(await leasesOf(node)).map((path) => `lease ${path}`),
    ...(await filesBelow(`${node.directory}/exits`)).map((path) => `exit file ${path}`),
    ...(await filesBelow(`${node.directory}/attach`)).map((path) => `attach socket ${path}`),
    ...(await entriesOf(node, ["pods", "containers", "snapshots"])).map((path) =>
      `directory ${path}`
    ),
  ];
}

/** Ends what is left, for the clean-up after a failed test. */
export async function endLeftovers(node: NodeNames): Promise<void> {
  for (const { pid } of await processesOf(node)) tryKill(pid);
  for (const path of cgroupsOf(node)) killCgroup(path);
  for (const path of mountsOf(node).reverse()) await command("umount", "-l", path);
  await command("ip", "link", "delete", node.bridge);
  for (const table of await hostPortTableOf(node)) {
    await command("nft", "delete", "table", "inet", table);
  }
  for (let round = 0; round < 50 && cgroupsOf(node).length > 0; round++) {
    for (const path of cgroupsOf(node).sort((a, b) => b.length - a.length)) tryRemove(path);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What a server's process holds of the kernel. */
export interface Holdings {
  readonly descriptors: number;
  /** Pid and name of each. */
  readonly children: readonly string[];
  readonly residentBytes: number;
}

export function holdings(pid: number): Holdings {
  const children: string[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    try {
      const status = Deno.readTextFileSync(`/proc/${name}/status`);
      if (new RegExp(`^PPid:\\s+${pid}$`, "m").test(status)) {
        children.push(`${name} ${/^Name:\s+(.*)$/m.exec(status)?.[1]}`);
      }
    } catch {
      // No process, or one that has ended.
    }
  }
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1];
  return {
    descriptors: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    children,
    residentBytes: Number(resident) * 1024,
  };
}

/** Monitors, runtimes and containers whose command line names the node's folder or cgroup. */
async function processesOf(node: NodeNames): Promise<{ pid: number; command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for await (const entry of Deno.readDir("/proc")) {
    const pid = Number(entry.name);
    if (!Number.isInteger(pid) || pid === Deno.pid) continue;
    try {
      const line = (await Deno.readTextFile(`/proc/${pid}/cmdline`)).replaceAll("\0", " ");
      const groups = await Deno.readTextFile(`/proc/${pid}/cgroup`);
      if (/sauropod\S* serve|main\.[jt]s serve/.test(line)) continue;
      // Ended, and left to the machine's first process, which reaps when it likes.
      const status = await Deno.readTextFile(`/proc/${pid}/status`);
      if (/^State:\s+Z/m.test(status) && /^PPid:\s+1$/m.test(status)) continue;
      if (line.includes(node.directory) || groups.includes(`${node.cgroupParent}/`)) {
        found.push({ pid, command: line.slice(0, 200) });
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

function mountsOf(node: NodeNames): string[] {
  return Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) =>
      path.startsWith(`${node.directory}/`) ||
      (path.startsWith(`${node.root}/`) && path !== node.root)
    );
}

async function linksOf(node: NodeNames): Promise<string[]> {
  const output = await command("ip", "-o", "link", "show", "master", node.bridge);
  return [...output.matchAll(/^\d+: ([^:@]+)/gm)].map((match) => match[1] ?? "");
}

/** Rules of host ports of pods; the table is there as long as one of them is. */
async function hostPortTableOf(node: NodeNames): Promise<string[]> {
  const table = hostPortTable(node);
  const tables = await command("nft", "list", "tables", "inet");
  return tables.split("\n").includes(`table inet ${table}`) ? [table] : [];
}

export function hostPortTable({ root }: Pick<NodeNames, "root">): string {
  return `sauropod-hostports-${createHash("sha256").update(root).digest("hex").slice(0, 8)}`;
}

function cgroupsOf(node: NodeNames): string[] {
  const found: string[] = [];
  const walk = (path: string) => {
    const entries = [...Deno.readDirSync(path)];
    found.push(path);
    for (const { name, isDirectory } of entries) if (isDirectory) walk(`${path}/${name}`);
  };
  for (const hierarchy of cgroupMounts()) {
    try {
      walk(`${hierarchy}${node.cgroupParent}`);
    } catch {
      // Not under this controller, or gone meanwhile.
    }
  }
  return found;
}

function cgroupMounts(): string[] {
  return Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
}

async function leasesOf(node: NodeNames): Promise<string[]> {
  return (await filesBelow(node.leases)).filter((path) => /\/[0-9a-f.:]+$/.test(path));
}

async function entriesOf(node: NodeNames, folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const base of [node.root, `${node.directory}/run`]) {
    for (const folder of folders) {
      try {
        for await (const entry of Deno.readDir(`${base}/${folder}`)) {
          found.push(`${base}/${folder}/${entry.name}`);
        }
      } catch {
        // There is none.
      }
    }
  }
  return found;
}

async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) found.push(...await filesBelow(path));
      else found.push(path);
    }
  } catch {
    // There is none.
  }
  return found;
}

function killCgroup(path: string): void {
  try {
    for (const pid of Deno.readTextFileSync(`${path}/cgroup.procs`).split("\n")) {
      if (pid !== "") tryKill(Number(pid));
    }
  } catch {
    // It has gone meanwhile.
  }
}

function tryKill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

function tryRemove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Its processes are still ending.
  }
}

async function command(program: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
    return new TextDecoder().decode(stdout);
  } catch (error) {
    // A program that is not installed has made nothing.
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
