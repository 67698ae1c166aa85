/**
 * Fails on an import against the layers, past a room's door, or in a cycle.
 *
 * Usage: `deno run --allow-read scripts/layers.ts`
 *
 * @module
 */

/** The rooms of `src/`, lowest first: a room may import those before it. */
export const LAYERS = [
  "errors",
  "model",
  "telemetry",
  "sys",
  "proto",
  "config",
  "state",
  "storage",
  "image",
  "network",
  "oci",
  "runtime",
  "pod",
  "streaming",
  "cri",
  "cli",
  "compose",
] as const;

const IMPORT = /^\s*(?:import|export)\s[^;]*?from\s+"(\.[^"]+)"|\bimport\("(\.[^"]+)"\)/gms;

/** Relative imports of a module, in source order. */
export function importsOf(source: string): string[] {
  return [...source.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? "");
}

/** Breaches of the layers in a set of modules: path below `src/` to its source. */
export function breaches(modules: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  const graph = new Map<string, string[]>();
  for (const [path, source] of modules) {
    const targets: string[] = [];
    for (const specifier of importsOf(source)) {
      const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
      targets.push(target);
      const breach = path.endsWith("_test.ts") ? undefined : breachOf(path, target);
      if (breach !== undefined) found.push(breach);
    }
    graph.set(path, targets);
  }
  return [...found, ...cyclesOf(graph)];
}

function breachOf(from: string, to: string): string | undefined {
  const [fromRoom, toRoom] = [roomOf(from), roomOf(to)];
  if (fromRoom === undefined || fromRoom === toRoom) return undefined;
  if (toRoom === undefined) return `${from} imports ${to}, which is above every room`;
  if (level(toRoom) > level(fromRoom)) {
    return `${from} imports ${to}: ${toRoom} is above ${fromRoom}`;
  }
  if (to.split("/").at(-1)?.startsWith("_")) {
    return `${from} imports ${to}, which is private to ${toRoom}`;
  }
  return undefined;
}

function roomOf(path: string): string | undefined {
  return path.includes("/") ? path.split("/")[0] : undefined;
}

function level(room: string): number {
  const index = (LAYERS as readonly string[]).indexOf(room);
  if (index < 0) throw new Error(`src/${room} is not in the list of layers (scripts/layers.ts)`);
  return index;
}

function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      cycles.push(`cycle: ${[...trail.slice(at), path].join(" -> ")}`);
      return;
    }
    if (done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}

async function modulesBelow(root: URL, prefix = ""): Promise<Map<string, string>> {
  const modules = new Map<string, string>();
  for await (const entry of Deno.readDir(new URL(prefix, root))) {
    const path = prefix + entry.name;
    if (entry.isDirectory) {
      for (const [name, source] of await modulesBelow(root, `${path}/`)) modules.set(name, source);
    } else if (path.endsWith(".ts")) {
      modules.set(path, await Deno.readTextFile(new URL(path, root)));
    }
  }
  return modules;
}

if (import.meta.main) {
  const found = breaches(await modulesBelow(new URL("../src/", import.meta.url)));
  for (const breach of found) console.error(breach);
  Deno.exit(found.length === 0 ? 0 : 1);
}
