/**
 * How containers end, by three witnesses: the exit files that monitors write, the ends of the
 * monitors, and the ends of the containers' own init processes.
 *
 * ```
 *   exit file ────────────────────────────────► exit code, time
 *   monitor ended ──► exit file there? ── yes ──► exit code, time
 *                          └─ no ──► init ended ──► 255, monitor lost
 *   init ended, monitor alive ──► grace period ──► 255, monitor lost
 * ```
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import { type ContainerId, isScope } from "../model/mod.ts";
import type { Clock } from "../model/mod.ts";
import { AT_EMPTY_PATH, AT_FDCWD, O_RDONLY } from "../sys/mod.ts";
import type { Kernel } from "../sys/kernel.ts";
import type { FileEvent, FileWatcher, ProcessWatcher } from "../sys/watching.ts";
import { monitorFiles } from "./conmon_arguments.ts";
import type { ContainerExit, ContainerPlace, CreatedContainer } from "./containers_runtime.ts";
import { OomWitness } from "./oom_witness.ts";

export interface ExitWatcherOptions {
  /** Must exist. */
  readonly exitsDir: string;
  readonly kernel: Kernel;
  readonly files: FileWatcher;
  readonly processes: ProcessWatcher;
  /** How often the kernel killed for lack of memory in the container's cgroup; undefined if it is gone. */
  readonly oomKills: (cgroupPath: string) => number | undefined;
  /** Names of the cgroups directly below one. */
  readonly cgroupsBelow: (cgroupPath: string) => readonly string[];
  readonly clock: Clock;
}

/** What an exit code cannot be told of gets. */
const UNKNOWN_EXIT_CODE = 255;
const SIGKILL_EXIT_CODE = 137;
/** How long a living monitor may take to drain and sync the log after the container's end. */
const MONITOR_GRACE_MS = 30_000;
/** Between two looks at an exit file for which there is no descriptor: the kernel does not tell of a free one. */
const RETRY_MS = 500;
/** What a full descriptor table and a lack of memory say. */
const PASSING = ["EMFILE", "ENFILE", "ENOMEM"] as const;
/** More than an exit file holds. */
const EXIT_FILE_BYTES = 64;

type Witness = "init" | "monitor";

interface Watch {
  readonly place: ContainerPlace;
  readonly onExit: (exit: ContainerExit) => void;
  /** Processes that have ended without an exit file. */
  readonly ended: Set<Witness>;
  readonly resources: DisposableStack;
}

type ExitFile =
  | { readonly kind: "found"; readonly exitCode: number; readonly finishedAtNs: bigint }
  | { readonly kind: "none" }
  /** For the moment. */
  | { readonly kind: "unreadable" };

export class ExitWatcher implements Disposable {
  readonly #options: ExitWatcherOptions;
  readonly #watches = new Map<ContainerId, Set<Watch>>();
  readonly #directory: Disposable;
  readonly #oomWitness: OomWitness;

  constructor(options: ExitWatcherOptions) {
    this.#options = options;
    this.#oomWitness = new OomWitness({
      kills: options.oomKills,
      children: options.cgroupsBelow,
    });
    this.#directory = options.files.watchDirectory(
      options.exitsDir,
      (event) => this.#onFile(event),
    );
  }

  /** See {@link import("./containers_runtime.ts").ContainerRuntime.watchExit}. */
  watch(
    place: ContainerPlace,
    { init, monitor }: CreatedContainer,
    onExit: (exit: ContainerExit) => void,
  ): Disposable {
    const { processes } = this.#options;
    const watch: Watch = { place, onExit, ended: new Set(), resources: new DisposableStack() };
    const { resources } = watch;
    using undo = new DisposableStack();
    undo.use(resources);
    const ofContainer = this.#watches.get(place.id) ?? new Set();
    this.#watches.set(place.id, ofContainer.add(watch));
    resources.defer(() => {
      ofContainer.delete(watch);
      if (ofContainer.size === 0) this.#watches.delete(place.id);
    });
    if (isScope(place.cgroupPath)) resources.use(this.#oomWitness.watch(place.cgroupPath));
    // It may have ended before this watch, while nobody looked.
    this.#later(watch, 0, () => this.#look(watch));
    resources.use(processes.watchExit(monitor, () => this.#processEnded(watch, "monitor")));
    resources.use(processes.watchExit(init, () => this.#processEnded(watch, "init")));
    undo.move();
    return { [Symbol.dispose]: () => resources.dispose() };
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
    for (const watches of [...this.#watches.values()]) {
      for (const { resources } of [...watches]) resources.dispose();
    }
  }

  #later(watch: Watch, delayMs: number, act: () => void): void {
    const timer = setTimeout(act, delayMs);
    watch.resources.defer(() => clearTimeout(timer));
  }

  #onFile(event: FileEvent): void {
    if (event.kind === "rescan") {
      for (const watches of [...this.#watches.values()]) {
        for (const watch of [...watches]) this.#look(watch);
      }
    } else if (event.kind !== "removed") {
      for (const watch of [...this.#watches.get(event.name as ContainerId) ?? []]) {
        this.#look(watch);
      }
    }
  }

  #processEnded(watch: Watch, which: Witness): void {
    this.#look(watch, () => {
      watch.ended.add(which);
      if (watch.ended.size === 2) this.#settleLost(watch);
      else if (which === "init") this.#later(watch, MONITOR_GRACE_MS, () => this.#lookLast(watch));
    });
  }

  /** Settles the watch if an exit file is there; goes on with `none` if there is not. */
  #look(watch: Watch, none: () => void = () => {}): void {
    if (watch.resources.disposed) return;
    // The monitor renames the file into place, so it is whole.
    const file = this.#readExit(`${this.#options.exitsDir}/${watch.place.id}`);
    switch (file.kind) {
      case "found": {
        const { exitCode, finishedAtNs } = file;
        const oomKilled = exitCode === SIGKILL_EXIT_CODE && this.#oomKilled(watch.place);
        return this.#settle(watch, { exitCode, finishedAtNs, oomKilled, monitorLost: false });
      }
      case "none":
        return none();
      case "unreadable":
        return this.#later(watch, RETRY_MS, () => this.#look(watch, none));
      default: {
        const never: never = file;
        return never;
      }
    }
  }

  #lookLast(watch: Watch): void {
    this.#look(watch, () => this.#settleLost(watch));
  }

  #settleLost(watch: Watch): void {
    this.#settle(watch, {
      exitCode: UNKNOWN_EXIT_CODE,
      finishedAtNs: this.#options.clock.nowNs(),
      oomKilled: this.#oomKilled(watch.place),
      monitorLost: true,
    });
  }

  #settle({ resources, onExit }: Watch, exit: ContainerExit): void {
    resources.dispose();
    onExit(exit);
  }

  #readExit(path: string): ExitFile {
    const { kernel } = this.#options;
    try {
      using file = kernel.open(path, O_RDONLY);
      const bytes = new Uint8Array(EXIT_FILE_BYTES);
      const length = kernel.read(file.number, bytes);
      const text = new TextDecoder().decode(bytes.subarray(0, length)).trim();
      if (text === "") return { kind: "none" };
      const code = /^\d{1,3}$/.test(text) ? Number(text) : UNKNOWN_EXIT_CODE;
      return {
        kind: "found",
        exitCode: Math.min(code, UNKNOWN_EXIT_CODE),
        finishedAtNs: kernel.statx(file.number, "", AT_EMPTY_PATH).mtimeNs,
      };
    } catch (error) {
      // Called from timers, where a throw would end the process.
      return { kind: isErrno(error, ...PASSING) ? "unreadable" : "none" };
    }
  }

  /**
   * Whether the kernel killed a process of the container for lack of memory: the cgroup's own count
   * says it. The monitor's file, an empty one, is also there if a limit of the pod was reached and a
   * process of another container paid for it, and is missing if the container's end came before the
   * news. Where the cgroup went with its last process, the file counts, or the cgroup above.
   */
  #oomKilled({ bundle, cgroupPath }: ContainerPlace): boolean {
    const kills = this.#options.oomKills(cgroupPath);
    if (kills !== undefined) {
      this.#oomWitness.told(cgroupPath, kills);
      return kills > 0;
    }
    const { oom } = monitorFiles(bundle);
    // Asked in any case: what was told of this container is not told of the next one again.
    const untold = this.#oomWitness.untold(cgroupPath);
    if (untold && !this.#exists(oom)) this.#write(oom);
    return untold || this.#exists(oom);
  }

  /** The monitor missed it: whoever asks again, after a restart too, finds the file. */
  #write(path: string): void {
    try {
      Deno.writeFileSync(path, new Uint8Array());
    } catch {
      // The bundle is gone, and with it whoever could ask again.
    }
  }

  #exists(path: string): boolean {
    try {
      this.#options.kernel.statx(AT_FDCWD, path, 0);
      return true;
    } catch {
      // Called from timers, where a throw would end the process.
      return false;
    }
  }
}
