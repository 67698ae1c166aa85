/** {@link StreamService} of its two halves. @module */
import type { ByteSink, ByteSource, ClientStreams, ContainerId, SandboxId } from "../model/mod.ts";
import type { ExecSession, StreamService } from "./streams.ts";

/** Sessions with processes: commands and containers' own streams. */
export type ProcessStreamService = Pick<
  StreamService,
  "checkExec" | "exec" | "checkAttach" | "attach"
>;
/** Sessions with ports. */
export type PortStreamService = Pick<StreamService, "checkPortForward" | "portForward">;

export class StreamSessions implements StreamService {
  readonly #processes: ProcessStreamService;
  readonly #ports: PortStreamService;

  constructor(processes: ProcessStreamService, ports: PortStreamService) {
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
