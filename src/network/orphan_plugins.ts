/**
 * CNI plugins that a killed server left running: children of nobody that still make interfaces and
 * take addresses.
 *
 * @module
 */
import type { SandboxId } from "../model/mod.ts";
import type { ProcessTable, ProcessWatcher } from "../sys/watching.ts";

export interface OrphanPlugins {
  /** Kills every plugin that runs for the sandbox and waits until it has ended, or `signal` fires. */
  end(sandbox: SandboxId, signal: AbortSignal): Promise<void>;
}

const SIGKILL = 9;
/** An environment of ours is below one kilobyte. */
const ENVIRONMENT_LIMIT_BYTES = 64 * 1024;

/** Finds plugins by the CNI_CONTAINERID in their environment, which their children inherit. */
export class ProcOrphanPlugins implements OrphanPlugins {
  readonly #processes: ProcessTable;
  readonly #watcher: ProcessWatcher;

  constructor(processes: ProcessTable, watcher: ProcessWatcher) {
    this.#processes = processes;
    this.#watcher = watcher;
  }

  async end(sandbox: SandboxId, signal: AbortSignal): Promise<void> {
    // A plugin may start a child between the scan and its end, so look until there is none.
    while (!signal.aborted) {
      const pids = await pluginsOf(sandbox);
      const living = pids.flatMap((pid) => this.#processes.identify(pid) ?? []);
      if (living.length === 0) return;
      await Promise.all(living.map((process) => {
        const ended = Promise.withResolvers<void>();
        const watch = this.#watcher.watchExit(process, () => ended.resolve());
        const stop = () => ended.resolve();
        signal.addEventListener("abort", stop, { once: true });
        this.#processes.signal(process, SIGKILL);
        return ended.promise.finally(() => {
          signal.removeEventListener("abort", stop);
          watch[Symbol.dispose]();
        });
      }));
    }
  }
}

async function pluginsOf(sandbox: SandboxId): Promise<number[]> {
  const wanted = `CNI_CONTAINERID=${sandbox}`;
  const found: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    try {
      using file = await Deno.open(`/proc/${name}/environ`);
      const buffer = new Uint8Array(ENVIRONMENT_LIMIT_BYTES);
      const length = await file.read(buffer) ?? 0;
      const entries = new TextDecoder("latin1").decode(buffer.subarray(0, length)).split("\0");
      if (entries.includes(wanted)) found.push(Number(name));
    } catch {
      // It ended, or is a kernel thread: no plugin.
    }
  }
  return found;
}
