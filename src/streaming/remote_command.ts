/**
 * A command or a container's own streams, and the client that holds their other ends, whatever the
 * protocol between them.
 *
 * @module
 */
import { errorMessage, UnavailableError } from "../errors/mod.ts";
import type { ByteSink, ByteSource, ClientStreams, ContainerId } from "../model/mod.ts";
import type { ExecSession, StreamService } from "../pod/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type CommandStatus, exitStatus, failureStatus, SUCCESS } from "./command_status.ts";
import { terminalSizes } from "./terminal_sizes.ts";

/** The streams that a request for a URL asked for. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly terminal: boolean;
}

export type RemoteCommand =
  | { readonly kind: "exec"; readonly session: ExecSession; readonly wanted: WantedStreams }
  | { readonly kind: "attach"; readonly container: ContainerId; readonly wanted: WantedStreams };

/** The client's ends, opened by a protocol. */
export interface RemoteStreams {
  readonly stdin: ByteSource | undefined;
  readonly stdout: ByteSink | undefined;
  readonly stderr: ByteSink | undefined;
  /** Bytes of {@link terminalSizes}. */
  readonly resize: ByteSource | undefined;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** Says how the session ended, after all its output. */
  writeStatus(status: CommandStatus): Promise<void>;
}

/** Runs to the end and tells the client of it; a client that is gone is not told. */
export async function runRemoteCommand(
  command: RemoteCommand,
  remote: RemoteStreams,
  { service, cut, log }: {
    readonly service: StreamService;
    /** Aborted when the session is to end for a reason of ours. */
    readonly cut: AbortSignal;
    readonly log: Logger;
  },
): Promise<void> {
  const signal = AbortSignal.any([remote.signal, cut]);
  const streams: ClientStreams = {
    stdin: remote.stdin,
    stdout: remote.stdout,
    stderr: remote.stderr,
    resizes: remote.resize && terminalSizes(remote.resize),
    signal,
  };
  let status: CommandStatus;
  try {
    status = command.kind === "exec"
      ? exitStatus(await service.exec(command.session, streams))
      : await service.attach(command.container, streams).then(() => SUCCESS);
  } catch (error) {
    status = failureStatus(
      command.kind === "exec"
        ? "error executing command in container"
        : "error attaching to container",
      error,
    );
    if (!signal.aborted) log.warn("A streaming session failed", { kind: command.kind, error });
  }
  if (remote.signal.aborted) return;
  try {
    if (cut.aborted) status = failureStatus("the session was cut", cut.reason);
    await remote.stdout?.end();
    await remote.stderr?.end();
    await remote.writeStatus(status);
  } catch (error) {
    if (error instanceof UnavailableError) return;
    log.warn("The end of a session could not be told", { error: errorMessage(error) });
  }
}
