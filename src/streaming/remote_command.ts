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
import { CLOSE_TIMEOUT_MS } from "./limits.ts";
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

/**
 * Runs to the end and tells the client of it; a client that is gone is not told. What it has not taken yet
 * stands before that: of a session that failed it is not waited for longer than {@link CLOSE_TIMEOUT_MS},
 * because a client that was cut off for its slowness may never take anything.
 */
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
  const { status, failed } = await run(command, service, streams).then(
    (status) => ({ status, failed: false }),
    (error: unknown) => {
      if (!signal.aborted) log.warn("A streaming session failed", { kind: command.kind, error });
      return { status: failureStatus(FAILURES[command.kind], error), failed: true };
    },
  );
  if (remote.signal.aborted) return;
  const told = tell(
    remote,
    cut.aborted ? failureStatus("the session was cut", cut.reason) : status,
    log,
  );
  if (failed) await within(told, CLOSE_TIMEOUT_MS);
  else await told;
}

const FAILURES = {
  exec: "error executing command in container",
  attach: "error attaching to container",
} as const;

async function run(
  command: RemoteCommand,
  service: StreamService,
  streams: ClientStreams,
): Promise<CommandStatus> {
  if (command.kind === "exec") return exitStatus(await service.exec(command.session, streams));
  await service.attach(command.container, streams);
  return SUCCESS;
}

/** Behind all output; never fails. */
async function tell(remote: RemoteStreams, status: CommandStatus, log: Logger): Promise<void> {
  try {
    await remote.stdout?.end();
    await remote.stderr?.end();
    await remote.writeStatus(status);
  } catch (error) {
    if (error instanceof UnavailableError) return;
    log.warn("The end of a session could not be told", { error: errorMessage(error) });
  }
}

/** Resolves when the work is done, or the time is over. */
async function within(work: Promise<void>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([work, late]);
  clearTimeout(timer);
}
