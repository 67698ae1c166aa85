/** Memory of a runtime and its monitors, as the kernel shares it out. @module */
import type { PeerProcess } from "./peer.ts";

export interface Memory {
  readonly serverMiB: number;
  readonly monitorsMiB: number;
  readonly monitors: number;
}

/** Sums of the proportional set sizes of a server and of its monitors or shims. */
export async function memoryOf({ pid, monitorName, mark }: PeerProcess): Promise<Memory> {
  let kib = 0;
  let monitors = 0;
  for await (const entry of Deno.readDir("/proc")) {
    const other = Number(entry.name);
    if (!Number.isInteger(other) || other === pid) continue;
    try {
      const line = await Deno.readTextFile(`/proc/${other}/cmdline`);
      const [program = ""] = line.split("\0");
      if (!program.endsWith(monitorName) || !line.includes(mark)) continue;
      kib += await pssOf(other);
      monitors++;
    } catch {
      // It has ended meanwhile.
    }
  }
  return { serverMiB: await pssOf(pid) / 1024, monitorsMiB: kib / 1024, monitors };
}

async function pssOf(pid: number): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`);
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
}
