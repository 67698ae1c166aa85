/**
 * Starting other programs: complete environments, named descriptors only, bounded output, deadlines.
 *
 * @module
 */

/** One program to run to its end. Nothing is inherited that is not named here. */
export interface Command {
  /** Absolute path of the executable. */
  readonly path: string;
  /** Arguments without argv[0]. */
  readonly args: readonly string[];
  /** The whole environment of the child. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Bytes written to its standard input, which is then closed; /dev/null without them. */
  readonly stdin?: Uint8Array;
  /** SIGKILL to the child's process group after this long. */
  readonly timeoutMs: number;
  /** At most this much is kept of standard output and of standard error each; the rest is read and dropped. */
  readonly outputLimitBytes: number;
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  /** Null if a signal ended it. */
  readonly exitCode: number | null;
  /** Name of the signal that ended it, such as `SIGKILL`. */
  readonly endedBy: string | null;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** True if either stream was longer than the limit. */
  readonly truncated: boolean;
}

/** A program that stays, with extra descriptors. */
export interface SpawnCommand {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /**
   * What the child gets as descriptor 0, 1, 2, 3, ...: a descriptor number of ours (duplicated; ours
   * stays open), or "null" for /dev/null. Nothing else reaches the child.
   */
  readonly stdio: readonly (number | "null")[];
  /** New session for the child, so that no signal to our terminal reaches it. */
  readonly detached?: boolean;
}

export interface SpawnedProcess {
  readonly pid: number;
  /** Resolves when the child has ended and was reaped. Never rejects. */
  readonly ended: Promise<ProcessEnding>;
}

/** Exactly one of the two is not null. */
export interface ProcessEnding {
  readonly exitCode: number | null;
  /** Name of the signal, such as `SIGKILL`. */
  readonly endedBy: string | null;
}

/** Waits for processes that a program of ours leaves behind when it ends, as its children would be. */
export interface OrphanKeeper {
  /** To be called before the program is started; disposed when its orphan was adopted or will not come. */
  expectOrphan(): ExpectedOrphan;
}

export interface ExpectedOrphan extends Disposable {
  /**
   * To be called once the program has ended; resolves when the orphan has, which may have been before.
   *
   * @throws {InternalError} that process is not a child of this one
   */
  adopt(pid: number): Promise<ProcessEnding>;
}

export interface ProcessRunner {
  /**
   * Runs a command to its end.
   *
   * @throws {NotFoundError} the executable is missing
   * @throws {DeadlineExceededError} it ran longer than `timeoutMs`; it has been killed and reaped
   * @throws {CancelledError} `signal` fired; it has been killed and reaped
   */
  run(command: Command): Promise<CommandResult>;
  /** Starts a command and returns at once. @throws {NotFoundError} the executable is missing */
  spawn(command: SpawnCommand): SpawnedProcess;
}
