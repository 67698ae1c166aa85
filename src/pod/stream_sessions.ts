/** {@link StreamService} of its two halves. @module */
import type { ByteSink, ByteSource, ContainerId, SandboxId } from "../model/mod.ts";
import type { ClientStreams, ExecSession, StreamService } from "./streams.ts";

/** Sessions with processes: commands and containers' own streams. */
export type ProcessStreams = Pick<StreamService, "checkExec" | "exec" | "checkAttach" | "attach">;
/** Sessions with ports. */
export type PortStreams = Pick<StreamService, "checkPortForward" | "portForward">;

export class StreamSessions implements StreamService {
  readonly #processes: ProcessStreams;
  readonly #ports: PortStreams;

  constructor(processes: ProcessStreams, ports: PortStreams) {
    this.#processes = processes;
    this.#ports = ports;
  }

  checkExec(container: string): ContainerId {
    return this.#processes.checkExec(container);
  }

  exec(session: ExecSession, streams: ClientStreams): Promise<number> {
    return this.#processes.exec(session, streams);
  }

  checkAttach(container: string): ReturnType<StreamService["checkAttach"]> {
    return this.#processes.checkAttach(container);
  }

  attach(container: ContainerId, streams: ClientStreams): Promise<void> {
    return this.#processes.attach(container, streams);
  }

  checkPortForward(sandbox: string): SandboxId {
    return this.#ports.checkPortForward(sandbox);
  }

  portForward(
    sandbox: SandboxId,
    port: number,
    connection: { readonly source: ByteSource; readonly sink: ByteSink },
    signal: AbortSignal,
  ): Promise<void> {
    return this.#ports.portForward(sandbox, port, connection, signal);
  }
}
