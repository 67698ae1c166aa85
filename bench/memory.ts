/** Memory of a runtime and its monitors, as the kernel shares it out. @module */

/** Sum of the proportional set sizes of a process and of all of a name whose command line names the folder, in MiB. */
export async function proportionalMiB(
  pid: number,
  monitorName: string,
  mark: string,
): Promise<number> {
  let kib = await pssOf(pid);
  for await (const entry of Deno.readDir("/proc")) {
    const other = Number(entry.name);
    if (!Number.isInteger(other) || other === pid) continue;
    try {
      const line = await Deno.readTextFile(`/proc/${other}/cmdline`);
      const [program = ""] = line.split("\0");
      if (program.endsWith(monitorName) && line.includes(mark)) kib += await pssOf(other);
    } catch {
      // It has ended meanwhile.
    }
  }
  return kib / 1024;
}

async function pssOf(pid: number): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`);
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
}
