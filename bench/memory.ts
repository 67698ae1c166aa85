/** Memory and processor time of a runtime and its monitors, as the kernel counts them. @module */
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

/** Begins to watch for how long a server and its monitors keep processors busy. The answer is in seconds. */
export async function watchProcessor(process: PeerProcess): Promise<() => Promise<number>> {
  const pids = [process.pid, ...await monitorsOf(process)];
  const before = await ticksOf(pids);
  return async () => (await ticksOf(pids) - before) / TICKS_A_SECOND;
}

/** `sysconf(_SC_CLK_TCK)` of every Linux that there is. */
const TICKS_A_SECOND = 100;

/** Fields 14 and 15 of `/proc/PID/stat`; 0 of a process that has ended. */
async function ticksOf(pids: readonly number[]): Promise<number> {
  const ticks = await Promise.all(pids.map(async (pid) => {
    const text = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => "");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }));
  return ticks.reduce((sum, each) => sum + each, 0);
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
