/** Memory of a runtime and its monitors, as the kernel counts it. @module */
import type { PeerProcess } from "./peer.ts";

export interface Memory {
  readonly serverMiB: number;
  readonly monitorsMiB: number;
  readonly monitors: number;
}

/** Sums of the proportional set sizes of a server and of its monitors or shims. */
export async function memoryOf(process: PeerProcess): Promise<Memory> {
  const monitors = await monitorsOf(process);
  const sizes = await Promise.all(monitors.map(pssOf));
  return {
    serverMiB: await pssOf(process.pid) / 1024,
    monitorsMiB: sizes.reduce((sum, size) => sum + size, 0) / 1024,
    monitors: monitors.length,
  };
}

/**
 * Begins to watch how much memory a server and its monitors have at most. The answer is the sum of their
 * largest resident set sizes in MiB since then, not necessarily of one moment.
 */
export async function watchPeak(process: PeerProcess): Promise<() => Promise<number>> {
  const pids = [process.pid, ...await monitorsOf(process)];
  for (const pid of pids) await Deno.writeTextFile(`/proc/${pid}/clear_refs`, "5");
  return () => sumOf(pids, "VmHWM");
}

/** Resident set sizes of a server and its monitors together, in MiB. */
export async function residentMiB(process: PeerProcess): Promise<number> {
  return await sumOf([process.pid, ...await monitorsOf(process)], "VmRSS");
}

async function sumOf(pids: readonly number[], key: "VmHWM" | "VmRSS"): Promise<number> {
  const sizes = await Promise.all(pids.map(async (pid) => {
    const text = await Deno.readTextFile(`/proc/${pid}/status`);
    return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
  }));
  return sizes.reduce((sum, size) => sum + size, 0) / 1024;
}

async function monitorsOf({ pid, monitorName, mark }: PeerProcess): Promise<number[]> {
  const monitors: number[] = [];
  for await (const entry of Deno.readDir("/proc")) {
    const other = Number(entry.name);
    if (!Number.isInteger(other) || other === pid) continue;
    try {
      const line = await Deno.readTextFile(`/proc/${other}/cmdline`);
      const [program = ""] = line.split("\0");
      if (program.endsWith(monitorName) && line.includes(mark)) monitors.push(other);
    } catch {
      // It has ended meanwhile.
    }
  }
  return monitors;
}

/** 0 of a process that has ended. */
async function pssOf(pid: number): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`).catch(() => "");
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
}
