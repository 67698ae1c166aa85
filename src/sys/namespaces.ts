/**
 * Pinned namespaces: made on a worker thread, kept alive by a bind mount, no process needed.
 *
 * @module
 */
import type { Fd } from "./kernel.ts";

/** What a thread of ours can make. */
export type PinnableNamespace = "net" | "ipc" | "uts";
/** A PID namespace lives as long as its first process: a pin only gives it a name. */
export type PinnedNamespace = PinnableNamespace | "pid";

export interface PidPinRequest {
  /** A process in the namespace. */
  readonly pid: number;
  /** As in {@link NamespaceRequest.pins}. */
  readonly path: string;
}

export interface NamespaceRequest {
  /** Where each wanted namespace is pinned: an absolute path; missing parents and the file are made. */
  readonly pins: Readonly<Partial<Record<PinnableNamespace, string>>>;
  /** Hostname of a new UTS namespace. */
  readonly hostname?: string;
  /**
   * Written below /proc/sys inside the new namespaces: name in slash or dot form and value,
   * already checked against the allow-list.
   */
  readonly sysctls: Readonly<Record<string, string>>;
}

export interface NamespaceSocketRequest {
  /** Pin of the network namespace. */
  readonly netnsPath: string;
  /** `AF_INET` or `AF_INET6`. */
  readonly domain: number;
}

export interface Namespaces {
  /**
   * Makes and pins the namespaces, brings `lo` up, sets hostname and sysctls. After a failure
   * nothing stays pinned.
   *
   * @throws {SyscallError} a namespace could not be made
   * @throws {InvalidArgumentError} the kernel refused a sysctl; names it
   * @throws {UnavailableError} the worker died; the call may be repeated
   */
  create(request: NamespaceRequest): Promise<void>;
  /**
   * Pins the PID namespace of a process, by which others can join it. The caller makes sure that the
   * pid still means the process after this resolved. After a failure nothing stays pinned.
   *
   * @throws {SyscallError} ENOENT: there is no such process
   */
  pinPid(request: PidPinRequest): Promise<void>;
  /** Unmounts a pin and removes its file. Succeeds if it is already gone. */
  release(pinPath: string): Promise<void>;
}

/** Sockets that belong to another network namespace than this process. */
export interface NamespaceSockets {
  /**
   * A TCP socket that does not block, not connected yet; the caller owns it.
   *
   * @throws {SyscallError} ENOENT: there is no such pin
   * @throws {FailedPreconditionError} nothing is pinned there
   * @throws {UnavailableError} the worker died; the call may be repeated
   */
  socket(request: NamespaceSocketRequest): Promise<Fd>;
}
