/**
 * {@link ContainerRuntime} over an OCI runtime's command line and conmon.
 *
 * @module
 */
import { NotFoundError, shown } from "../errors/mod.ts";
import type { Clock, ContainerId } from "../model/mod.ts";
import type { Intent } from "../state/steps.ts";
import type { ResourceType } from "../state/journal.ts";
import type { Cgroups } from "../sys/cgroup.ts";
import type { Kernel } from "../sys/kernel.ts";
import type { OrphanKeeper, ProcessRunner } from "../sys/process_runner.ts";
import type { ByteDescriptors } from "../sys/byte_descriptors.ts";
import type { SystemdUnits } from "../sys/systemd.ts";
import type {
  FileWatcher,
  ProcessIdentity,
  ProcessTable,
  ProcessWatcher,
} from "../sys/watching.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { ResourceUpdate } from "../oci/mod.ts";
import {
  type ContainerLimits,
  hugepageFile,
  type LimitsAsked,
  limitsOf,
  unreclaimableMemoryOf,
} from "./cgroup_limits.ts";
import { createWithMonitor } from "./conmon.ts";
import {
  CGROUP_TIMEOUT_MS,
  monitorOf,
  type RecordedContainer,
  removeContainer,
  runtimeContainerIntent,
  runtimeContainerType,
} from "./container_removal.ts";
import type {
  AttachRequest,
  ContainerExit,
  ContainerPlace,
  ContainerRuntime,
  CreatedContainer,
  CreateOptions,
  ExecRequest,
  ExecResult,
  ExecStreamRequest,
  PidHolderPlace,
  RuntimeHandlerInfo,
} from "./containers_runtime.ts";
import { Attachments } from "./attach.ts";
import { sweepExecs } from "./exec_place.ts";
import { execStream } from "./exec_stream.ts";
import { execSync } from "./exec_sync.ts";
import { ExitWatcher } from "./exit_watcher.ts";
import {
  findHandlers,
  type HandlersFound,
  type RuntimeHandler,
  type RuntimeOptions,
} from "./handlers.ts";
import { reopenLog } from "./log_reopen.ts";
import {
  pidHolderIntent,
  pidHolderType,
  type RecordedPidHolder,
  startPidHolder,
} from "./pid_holder.ts";
import { RuntimeCommand } from "./runc.ts";

/** What the runtime needs from `sys/`, and who hears of trouble. */
export interface RuntimePorts {
  readonly kernel: Kernel;
  readonly descriptors: ByteDescriptors;
  readonly cgroups: Cgroups;
  readonly runner: ProcessRunner;
  readonly orphans: OrphanKeeper;
  readonly files: FileWatcher;
  readonly processes: ProcessTable;
  readonly processWatcher: ProcessWatcher;
  readonly units: SystemdUnits;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A handler's state for Status and `check`. */
export interface HandlerReport {
  readonly name: string;
  readonly runtimePath: string;
  readonly runtimeVersion: string;
  readonly monitorPath: string;
  readonly monitorVersion: string;
  readonly warnings: readonly string[];
}

export class OciRuntime implements ContainerRuntime, Disposable {
  #options: RuntimeOptions;
  readonly #ports: RuntimePorts;
  #found: HandlersFound;
  /** Handlers that a reload took out of the configuration: their containers still need them. */
  readonly #retired = new Map<string, RuntimeHandler>();
  readonly #command: RuntimeCommand;
  readonly #exits: ExitWatcher;
  readonly #attachments: Attachments;
  /** Reopens under way: two at once would each replace the log of the other. */
  readonly #reopening = new Map<ContainerId, Promise<void>>();

  /**
   * Looks for the handlers' programs, makes the directories and begins to watch for exits.
   *
   * @throws {NotFoundError} a program of the default handler is missing
   */
  static async open(options: RuntimeOptions, ports: RuntimePorts): Promise<OciRuntime> {
    const found = await findHandlers(options, ports.runner);
    for (const { name, reason } of found.dropped) {
      ports.log.warn("A runtime handler cannot be used", { handler: name, reason });
    }
    for (const directory of [options.exitsDir, options.attachSocketDir]) {
      await Deno.mkdir(directory, { recursive: true, mode: 0o755 });
    }
    await Deno.mkdir(options.execDir, { recursive: true, mode: 0o700 });
    for await (const { name } of Deno.readDir(options.execDir)) {
      await Deno.remove(`${options.execDir}/${name}`, { recursive: true });
    }
    return new OciRuntime(options, ports, found);
  }

  private constructor(options: RuntimeOptions, ports: RuntimePorts, found: HandlersFound) {
    this.#options = options;
    this.#ports = ports;
    this.#found = found;
    this.#command = new RuntimeCommand(ports.runner, { ...options.environment });
    this.#attachments = new Attachments(ports.kernel);
    this.#exits = new ExitWatcher({
      exitsDir: options.exitsDir,
      kernel: ports.kernel,
      files: ports.files,
      processes: ports.processWatcher,
      oomKills: (path) => ports.cgroups.oomKills(path),
      cgroupsBelow: (path) => ports.cgroups.children(path),
      clock: ports.clock,
    });
  }

  /** The resource type `runtime-container`, for the journal. */
  resourceType(): ResourceType<RecordedContainer> {
    return runtimeContainerType(this.#removalPorts());
  }

  /** The resource type `pid-namespace-holder`, for the journal. */
  pidHolderType(): ResourceType<RecordedPidHolder> {
    return pidHolderType(this.#removalPorts());
  }

  /**
   * Looks for the handlers of another configuration. Directories and the search path stay as they are.
   *
   * @returns puts it into effect
   * @throws {NotFoundError} a program of the default handler is missing
   */
  async prepare(
    next: Pick<RuntimeOptions, "defaultHandler" | "handlers" | "logLevel">,
  ): Promise<() => void> {
    const { defaultHandler, handlers, logLevel } = next;
    const options = { ...this.#options, defaultHandler, handlers, logLevel };
    const found = await findHandlers(options, this.#ports.runner);
    return () => {
      for (const { name, reason } of found.dropped) {
        this.#ports.log.warn("A runtime handler cannot be used", { handler: name, reason });
      }
      for (const [name, handler] of this.#found.handlers) {
        if (!found.handlers.has(name)) this.#retired.set(name, handler);
      }
      for (const name of found.handlers.keys()) this.#retired.delete(name);
      this.#options = options;
      this.#found = found;
    };
  }

  handlers(): readonly RuntimeHandlerInfo[] {
    return [...this.#found.handlers.values()].map((handler) => ({
      name: handler.name,
      isDefault: handler.name === this.#options.defaultHandler,
      recursiveReadOnlyMounts: handler.recursiveReadOnlyMounts,
      userNamespaces: handler.userNamespaces,
    }));
  }

  /** Programs, versions and their known holes. */
  reports(): readonly HandlerReport[] {
    return [...this.#found.handlers.values()].map((
      { name, runtimePath, runtimeVersion, monitorPath, monitorVersion, warnings },
    ) => ({ name, runtimePath, runtimeVersion, monitorPath, monitorVersion, warnings }));
  }

  resolveHandler(name: string): string {
    return this.#handler(name === "" ? this.#options.defaultHandler : name).name;
  }

  intent(place: ContainerPlace): Intent {
    return runtimeContainerIntent(this.#recorded(place));
  }

  create(options: CreateOptions, signal: AbortSignal): Promise<CreatedContainer> {
    const handler = this.#handlerOf(options.place);
    return createWithMonitor(options, {
      handler,
      options: this.#options,
      ports: this.#ports,
      signal,
    });
  }

  start(place: ContainerPlace, signal: AbortSignal): Promise<void> {
    const handler = this.#handlerOf(place);
    return this.#command.start(handler, place.id, { timeoutMs: handler.createTimeoutMs, signal });
  }

  signal({ cgroupPath }: ContainerPlace, init: ProcessIdentity, signal: number): boolean {
    const reached = this.#ports.processes.signal(init, signal);
    // Whoever paused it: what is frozen takes no signal before it runs again.
    if (reached) this.#ports.cgroups.thaw(cgroupPath);
    return reached;
  }

  heeds(init: ProcessIdentity, signal: number): boolean {
    return this.#ports.processes.heeds(init, signal);
  }

  endProcesses({ cgroupPath }: ContainerPlace): Promise<void> {
    return this.#ports.cgroups.destroy(cgroupPath, CGROUP_TIMEOUT_MS);
  }

  pidHolderIntent(place: PidHolderPlace): Intent {
    const { id, bundle, cgroupPath } = place;
    const { runtimePath, runtimeRoot } = this.#handlerOf(place);
    return pidHolderIntent({ id, bundle, cgroupPath, runtimePath, runtimeRoot });
  }

  startPidHolder(place: PidHolderPlace, signal: AbortSignal): Promise<ProcessIdentity> {
    return startPidHolder(place, {
      handler: this.#handlerOf(place),
      options: this.#options,
      ports: this.#ports,
      signal,
    });
  }

  remove(place: ContainerPlace, signal: AbortSignal): Promise<void> {
    return removeContainer(this.#recorded(place), this.#removalPorts(), signal);
  }

  watchExit(
    place: ContainerPlace,
    created: CreatedContainer,
    onExit: (exit: ContainerExit) => void,
  ): Disposable {
    return this.#exits.watch(place, created, onExit);
  }

  async inspect(place: ContainerPlace): ReturnType<ContainerRuntime["inspect"]> {
    const { processes } = this.#ports;
    const state = await this.#command.state(this.#handlerOf(place), place.id);
    if (state === undefined) return undefined;
    return {
      status: state.status,
      init: state.status === "stopped" ? undefined : processes.identify(state.pid),
      monitor: monitorOf(place, processes),
    };
  }

  limits(
    place: ContainerPlace,
    init: ProcessIdentity,
    asked: LimitsAsked,
  ): ContainerLimits | undefined {
    return limitsOf(this.#ports.cgroups, place.cgroupPath, init, asked);
  }

  unreclaimableMemory(place: ContainerPlace): bigint | undefined {
    return unreclaimableMemoryOf(this.#ports.cgroups, place.cgroupPath);
  }

  async update(
    place: ContainerPlace,
    resources: ResourceUpdate,
    signal: AbortSignal,
  ): Promise<void> {
    const { cgroups } = this.#ports;
    // Runtimes leave huge pages out of an update.
    const { hugepageLimits = [], ...rest } = resources;
    for (const { pageSize, limit } of hugepageLimits) {
      const file = hugepageFile(cgroups.version, pageSize);
      cgroups.write(place.cgroupPath, "hugetlb", file, JSON.stringify(limit));
    }
    if (Object.keys(rest).length === 0) return;
    await this.#command.update(this.#handlerOf(place), place.id, rest, signal);
  }

  execSync(request: ExecRequest): Promise<ExecResult> {
    return execSync(request, {
      handler: this.#handlerOf(request.place),
      options: this.#options,
      ports: this.#ports,
    });
  }

  exec(request: ExecStreamRequest): Promise<number> {
    return execStream(request, {
      handler: this.#handlerOf(request.place),
      options: this.#options,
      ports: this.#ports,
    });
  }

  attach(request: AttachRequest): Promise<void> {
    return this.#attachments.attach(request);
  }

  sweepExecs(place: ContainerPlace): Promise<void> {
    return sweepExecs(place, this.#ports.cgroups);
  }

  reopenLog(place: ContainerPlace, { monitor }: CreatedContainer): Promise<void> {
    const before = this.#reopening.get(place.id) ?? Promise.resolve();
    const mine = before.catch(() => {}).then(() => reopenLog(place, monitor, this.#ports));
    this.#reopening.set(place.id, mine);
    return mine.finally(() => {
      if (this.#reopening.get(place.id) === mine) this.#reopening.delete(place.id);
    });
  }

  [Symbol.dispose](): void {
    this.#attachments[Symbol.dispose]();
    this.#exits[Symbol.dispose]();
  }

  #handler(name: string): RuntimeHandler {
    const handler = this.#found.handlers.get(name);
    if (handler !== undefined) return handler;
    const dropped = this.#found.dropped.find((entry) => entry.name === name);
    throw new NotFoundError(
      dropped === undefined
        ? `There is no runtime handler ${shown(name)}`
        : `The runtime handler ${shown(name)} cannot be used: ${dropped.reason}`,
      {
        field: "runtime_handler",
        value: name,
        remedy: `use one of: ${[...this.#found.handlers.keys()].join(", ")}`,
      },
    );
  }

  /** The handler of a container that there is, or of a pod that has been admitted. */
  #handlerOf({ handler }: { readonly handler: string }): RuntimeHandler {
    return this.#retired.get(handler) ?? this.#handler(handler);
  }

  #recorded(place: ContainerPlace): RecordedContainer {
    const { id, bundle, cgroupPath } = place;
    const { runtimePath, runtimeRoot } = this.#handlerOf(place);
    const { exitsDir, attachSocketDir } = this.#options;
    return {
      ...{ id, bundle, cgroupPath },
      ...{ runtimePath, runtimeRoot, exitsDir, attachSocketDir },
    };
  }

  #removalPorts() {
    const { cgroups, processes, processWatcher } = this.#ports;
    return { runtime: this.#command, cgroups, processes, processWatcher };
  }
}
