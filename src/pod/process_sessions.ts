/**
 * Commands in containers and containers' own streams: which containers may have sessions, how many commands
 * there may be at once, and what of the record the runtime needs for one.
 *
 * @module
 */
import { FailedPreconditionError } from "../errors/mod.ts";
import type { ClientStreams, ContainerId } from "../model/mod.ts";
import type { ContainerRuntime } from "../runtime/containers_runtime.ts";
import { type ContainerRecord, isLive, type LiveContainer, requireRunning } from "./container.ts";
import { processOf } from "./container_spec.ts";
import { POD_DEADLINES } from "./deadlines.ts";
import type { PodRegistry } from "./registry.ts";
import { SessionCount } from "./session_count.ts";
import type { ProcessStreamService } from "./stream_sessions.ts";
import type { ExecSession } from "./streams.ts";

/** Commands that run: each has a process, six descriptors and up to 3 MiB of pipes. */
export const EXEC_LIMIT = 512;

export interface ProcessSessionsOptions {
  readonly registry: Pick<PodRegistry, "requireContainer">;
  readonly runtime: Pick<ContainerRuntime, "exec" | "attach">;
}

export class ProcessSessions implements ProcessStreamService {
  readonly #options: ProcessSessionsOptions;
  readonly #execs = new SessionCount("commands", EXEC_LIMIT);

  constructor(options: ProcessSessionsOptions) {
    this.#options = options;
  }

  checkExec(container: string): ContainerId {
    return this.#running(container).id;
  }

  async exec({ container, args, terminal }: ExecSession, streams: ClientStreams): Promise<number> {
    const record = this.#running(container);
    using _session = this.#execs.enter();
    return await this.#options.runtime.exec({
      place: record.place,
      args,
      terminal,
      process: processOf(record),
      startTimeoutMs: POD_DEADLINES.startMs,
      streams,
    });
  }

  checkAttach(container: string): { readonly container: ContainerId; readonly terminal: boolean } {
    const { id, config } = this.#attachable(container);
    return { container: id, terminal: config.tty };
  }

  async attach(container: ContainerId, streams: ClientStreams): Promise<void> {
    const { place, config } = this.#attachable(container);
    const { tty, stdin, stdinOnce } = config;
    await this.#options.runtime.attach({ place, terminal: tty, stdin, stdinOnce, streams });
  }

  #running(container: string): LiveContainer {
    return requireRunning(
      this.#options.registry.requireContainer(container),
      "run a command in it",
    );
  }

  #attachable(container: string): LiveContainer {
    const record: ContainerRecord = this.#options.registry.requireContainer(container);
    if (isLive(record)) return record;
    throw new FailedPreconditionError(
      `Container ${record.id} is ${record.state.kind}: cannot attach to it`,
      {
        id: record.id,
        field: "container_id",
        remedy: "only a created or running container can be attached to",
      },
    );
  }
}
