/**
 * Drives an OCI runtime through its monitor. What pod/ needs of it, and nothing of how.
 *
 * @module
 */
import type { ClientStreams, ContainerId, JsonObject, SandboxId } from "../model/mod.ts";
import type { ResourceUpdate } from "../oci/mod.ts";
import type { Intent } from "../state/steps.ts";
import type { ProcessIdentity } from "../sys/watching.ts";
import type { ContainerLimits, LimitsAsked } from "./cgroup_limits.ts";

/** Where one container's files are. All paths absolute. */
export interface ContainerPlace {
  readonly id: ContainerId;
  /** Run directory, with config.json; gone after a reboot. */
  readonly bundle: string;
  readonly logPath: string;
  /** Name of an entry of `[crio.runtime.runtimes]`. */
  readonly handler: string;
  /**
   * Path of the container's cgroup below a hierarchy's root: `/kubepods/.../crio-<id>`. One that ends in
   * `.scope` is made by systemd, at the runtime's request.
   */
  readonly cgroupPath: string;
}

/** Where the process that holds a pod's PID namespace has its files. All paths absolute. */
export interface PidHolderPlace {
  readonly id: SandboxId;
  /** Run directory of its own, with config.json; removed with it. */
  readonly bundle: string;
  readonly handler: string;
  /** As {@link ContainerPlace.cgroupPath}. */
  readonly cgroupPath: string;
}

export interface CreateOptions {
  readonly place: ContainerPlace;
  /** Shown in conmon's syslog lines: `k8s_<container>_<pod>_...`. */
  readonly name: string;
  readonly terminal: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
}

/** What the monitor and the runtime made. */
export interface CreatedContainer {
  readonly init: ProcessIdentity;
  readonly monitor: ProcessIdentity;
}

/** How a container ended. */
export interface ContainerExit {
  /** 0 to 255; 255 if it cannot be known. */
  readonly exitCode: number;
  /** When the monitor wrote the exit file, nanoseconds since the epoch. */
  readonly finishedAtNs: bigint;
  readonly oomKilled: boolean;
  /** True if its monitor died before it: the exit code is not known. */
  readonly monitorLost: boolean;
}

export interface ExecRequest {
  readonly place: ContainerPlace;
  readonly args: readonly string[];
  /** Process of the container's spec, from which environment, user, cwd and capabilities come. */
  readonly process: JsonObject;
  /** 0 for none; capped by the runtime's own limit. */
  readonly timeoutMs: number;
  /** For standard output and standard error together. */
  readonly outputLimitBytes: number;
  /** Ends the command and everything it started; {@link ContainerRuntime.execSync} throws its reason. */
  readonly signal?: AbortSignal;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

export interface ExecStreamRequest {
  readonly place: ContainerPlace;
  readonly args: readonly string[];
  /** As {@link ExecRequest.process}. */
  readonly process: JsonObject;
  readonly terminal: boolean;
  /** For the runtime to start the command; the command itself may run for ever. */
  readonly startTimeoutMs: number;
  readonly streams: ClientStreams;
}

export interface AttachRequest {
  readonly place: ContainerPlace;
  /** As the container was created. */
  readonly terminal: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly streams: ClientStreams;
}

/** A handler as Status shows it. */
export interface RuntimeHandlerInfo {
  readonly name: string;
  readonly isDefault: boolean;
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
}

export interface ContainerRuntime {
  handlers(): readonly RuntimeHandlerInfo[];
  /** Name of the handler for an empty or given request. @throws {NotFoundError} no such handler */
  resolveHandler(name: string): string;
  /** What to commit before {@link ContainerRuntime.create}: undoing it is {@link ContainerRuntime.remove}. */
  intent(place: ContainerPlace): Intent;
  /**
   * Starts the monitor, which creates the container. The caller has written config.json.
   *
   * @throws {FailedPreconditionError} the OCI runtime refused: its own words
   * @throws {DeadlineExceededError} `signal` fired; the caller undoes with {@link ContainerRuntime.remove}
   */
  create(options: CreateOptions, signal: AbortSignal): Promise<CreatedContainer>;
  /** Only from created. @throws {FailedPreconditionError} it ended before it could be started */
  start(place: ContainerPlace, signal: AbortSignal): Promise<void>;
  /**
   * True if the signal reached the container's init process, false if that had ended. A paused container
   * goes on, so that the signal acts.
   */
  signal(place: ContainerPlace, init: ProcessIdentity, signal: number): boolean;
  /** False if the init process would not hear the signal: it has not set a handler up, or never will. */
  heeds(init: ProcessIdentity, signal: number): boolean;
  /**
   * Kills every process in the container's cgroup: those that its init left behind in a PID namespace
   * that it does not own. Succeeds when nothing is left.
   *
   * @throws {UnavailableError} killed processes do not vanish
   */
  endProcesses(place: ContainerPlace): Promise<void>;
  /** What to commit before {@link ContainerRuntime.startPidHolder}; undoing ends and removes it. */
  pidHolderIntent(place: PidHolderPlace): Intent;
  /**
   * Starts the first process of a pod's PID namespace. The caller has written config.json.
   *
   * @throws {FailedPreconditionError} the OCI runtime refused: its own words
   */
  startPidHolder(place: PidHolderPlace, signal: AbortSignal): Promise<ProcessIdentity>;
  /**
   * Kills what is left (the whole cgroup), removes the runtime's state and the monitor, and the files
   * that they wrote. Succeeds for what is gone; may be repeated.
   */
  remove(place: ContainerPlace, signal: AbortSignal): Promise<void>;
  /**
   * Calls back once when the container has ended, also if it ended while nobody watched. Disposing
   * ends the watch.
   */
  watchExit(
    place: ContainerPlace,
    created: CreatedContainer,
    onExit: (exit: ContainerExit) => void,
  ): Disposable;
  /** What the OCI runtime's own state says, for recovery; undefined if it knows no such container. */
  inspect(place: ContainerPlace): Promise<
    | {
      readonly status: "created" | "running" | "paused" | "stopped";
      readonly init: ProcessIdentity | undefined;
      readonly monitor: ProcessIdentity | undefined;
    }
    | undefined
  >;
  /** What the kernel holds a container to now; undefined if its cgroup is gone. */
  limits(
    place: ContainerPlace,
    init: ProcessIdentity,
    asked: LimitsAsked,
  ): ContainerLimits | undefined;
  /**
   * Bytes of memory charged to a live container, without page cache that the kernel can give up;
   * undefined if nothing counts them.
   */
  unreclaimableMemory(place: ContainerPlace): bigint | undefined;
  /**
   * Sets limits of a live container, the runtime's own record included; may be repeated.
   *
   * @throws {FailedPreconditionError} the kernel does not take them; some may be in force
   */
  update(place: ContainerPlace, resources: ResourceUpdate, signal: AbortSignal): Promise<void>;
  /** @throws {DeadlineExceededError} after `timeoutMs`; no process of the exec is left then */
  execSync(request: ExecRequest): Promise<ExecResult>;
  /**
   * Runs a command with its streams to its end. When the client goes away the command, and everything
   * that it started, is killed.
   *
   * @returns the exit code, 0 to 255; 128 and the signal's number for one that a signal ended
   * @throws {FailedPreconditionError} it could not be started: the runtime's own words
   * @throws the reason of the client's signal
   */
  exec(request: ExecStreamRequest): Promise<number>;
  /**
   * Joins a client to a live container's own streams. Resolves when the container has ended and its
   * output has been written, or the client has gone.
   *
   * @throws {ResourceExhaustedError} the client reads too slowly
   * @throws {FailedPreconditionError} the container's monitor is gone
   */
  attach(request: AttachRequest): Promise<void>;
  /** For recovery: ends what execs of an earlier life of this process left running in a container. */
  sweepExecs(place: ContainerPlace): Promise<void>;
  /** Makes the monitor write to the file now at the log path; does nothing if it already does. */
  reopenLog(place: ContainerPlace, created: CreatedContainer): Promise<void>;
}
