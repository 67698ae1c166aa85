/**
 * Sessions with what runs in a pod: commands, a container's own streams, its ports. In terms of bytes,
 * and never of the protocol by which they reach a client.
 *
 * @module
 */
import type { ByteSink, ByteSource, ClientStreams, ContainerId, SandboxId } from "../model/mod.ts";

/** A command as it was checked when its URL was asked for. */
export interface ExecSession {
  readonly container: ContainerId;
  readonly args: readonly string[];
  readonly terminal: boolean;
}

/**
 * Exec, attach and port-forward. The methods that begin with `check` are for the request for a URL,
 * the others for its use, up to half a minute later: each of those checks again.
 *
 * Ids given to `check` are full or a unique prefix; it returns the full one.
 */
export interface StreamService {
  /**
   * @throws {NotFoundError} no such container
   * @throws {FailedPreconditionError} it is not running; says in which state it is
   */
  checkExec(container: string): ContainerId;
  /**
   * Runs the command to its end and until its output has been written. When the client goes away the
   * command, and everything it started, is killed.
   *
   * @returns the exit code, 0 to 255
   * @throws {FailedPreconditionError} it could not be started: the runtime's own words
   */
  exec(session: ExecSession, streams: ClientStreams): Promise<number>;
  /** As {@link StreamService.checkExec}; a container that is only created can be attached to. */
  checkAttach(container: string): { readonly container: ContainerId; readonly terminal: boolean };
  /**
   * Resolves when the container has ended and its output has been written, or when the client's
   * `signal` fires, which leaves the container as it is.
   *
   * @throws {ResourceExhaustedError} the client reads too slowly
   */
  attach(container: ContainerId, streams: ClientStreams): Promise<void>;
  /**
   * @throws {NotFoundError} no such sandbox
   * @throws {FailedPreconditionError} it is not ready
   */
  checkPortForward(sandbox: string): SandboxId;
  /**
   * Connects to a TCP port on the loopback address of the pod's network namespace and copies in both
   * directions until both are closed, the source or the sink fails with {@link UnavailableError}, which is
   * how a client leaves this connection, or `signal` fires.
   *
   * @throws {UnavailableError} nothing listens there, or the program broke the connection off
   * @throws the reason of `signal`, once it has fired
   */
  portForward(
    sandbox: SandboxId,
    port: number,
    connection: { readonly source: ByteSource; readonly sink: ByteSink },
    signal: AbortSignal,
  ): Promise<void>;
}
