/**
 * Kernel events as callbacks on the event loop: file watches and process ends. No polling, no
 * thread per watched thing.
 *
 * @module
 */

export type FileEvent =
  | { readonly kind: "written" | "movedTo" | "created" | "removed"; readonly name: string }
  /** Events were lost (queue overflow) or the directory went away: read it again. */
  | { readonly kind: "rescan" };

export interface FileWatcher extends Disposable {
  /**
   * Watches the entries of one directory, not below it. The callback runs on the event loop,
   * in order. Disposing the result ends the watch.
   *
   * @throws {SyscallError} the directory cannot be watched
   */
  watchDirectory(path: string, onEvent: (event: FileEvent) => void): Disposable;
}

/** A process, told apart from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot, as decimal text. */
  readonly startTime: string;
  /** /proc/sys/kernel/random/boot_id at the time of recording. */
  readonly bootId: string;
}

export interface ProcessWatcher extends Disposable {
  /**
   * Calls back once when the process has ended; at once (in a later turn) if it has already ended,
   * is a zombie, or is not the process meant. Disposing the result ends the watch.
   *
   * @throws {SyscallError} it cannot be watched, such as EMFILE
   */
  watchExit(process: ProcessIdentity, onExit: () => void): Disposable;
}

/** Every method throws a SyscallError where the kernel does not tell, such as EMFILE. */
export interface ProcessTable {
  readonly bootId: string;
  /** Identity of a living process, or undefined if there is none; zombies do not count as living. */
  identify(pid: number): ProcessIdentity | undefined;
  isAlive(process: ProcessIdentity): boolean;
  /**
   * Sends a signal through a pidfd after checking the identity, so a recycled pid is never hit.
   *
   * @returns false if the process is already gone
   */
  signal(process: ProcessIdentity, signal: number): boolean;
  /**
   * False if the process has no handler for the signal and neither ignores nor blocks it. To the first
   * process of a PID namespace such a signal is not delivered (pid_namespaces(7)). True if it is gone.
   */
  heeds(process: ProcessIdentity, signal: number): boolean;
}
