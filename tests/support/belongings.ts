/** What streaming sessions take of a node while they last. @module */
import type { CriClient } from "./cri_client.ts";

/** Counts of what sessions take while they last. */
export interface Belongings {
  readonly serverDescriptors: number;
  readonly serverChildren: number;
  readonly monitorDescriptors: number;
  readonly containerProcesses: number;
}

export async function belongings(
  { client, pid }: { readonly client: CriClient; readonly pid: number },
  containerId: string,
): Promise<Belongings> {
  const { info } = await client.runtime.containerStatus({ containerId, verbose: true });
  const { pid: first } = JSON.parse(info["info"] ?? "{}") as { pid: number };
  return {
    serverDescriptors: descriptorsOf(pid),
    serverChildren: childrenOf(pid).length,
    monitorDescriptors: descriptorsOf(parentOf(first)),
    containerProcesses: neighboursOf(first),
  };
}

export function isWithin(now: Belongings, before: Belongings): boolean {
  return (Object.keys(before) as (keyof Belongings)[]).every((key) => now[key] <= before[key]);
}

function descriptorsOf(pid: number): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
}

/** Children of all of a process's threads. */
function childrenOf(pid: number): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/task`)].flatMap(({ name }) =>
    Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`).split(" ").filter((child) => child)
  );
}

/** Processes in a process's PID namespace: a container's, with its commands. */
function neighboursOf(pid: number): number {
  const namespace = Deno.readLinkSync(`/proc/${pid}/ns/pid`);
  return [...Deno.readDirSync("/proc")].filter(({ name }) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return Deno.readLinkSync(`/proc/${name}/ns/pid`) === namespace;
    } catch {
      return false; // It has ended meanwhile.
    }
  }).length;
}
