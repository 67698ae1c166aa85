/**
 * The command line of an OCI runtime: every call is a short process with a deadline.
 *
 * @module
 */
import {
  FailedPreconditionError,
  InternalError,
  NotFoundError,
  type SauropodError,
} from "../errors/mod.ts";
import type { ContainerId, SandboxId } from "../model/mod.ts";
import type { ResourceUpdate } from "../oci/mod.ts";
import type { CommandResult, ProcessRunner } from "../sys/process_runner.ts";
import { meansGone, runtimeErrorText } from "./monitor_report.ts";

/** Which program, and where it keeps its state. */
export interface RuntimeProgram {
  readonly runtimePath: string;
  readonly runtimeRoot: string;
}

/** The runtime's own view of a container. */
export interface RuntimeState {
  readonly status: "created" | "running" | "paused" | "stopped";
  /** 0 when stopped. */
  readonly pid: number;
}

const OUTPUT_LIMIT_BYTES = 256 * 1024;
const STATE_TIMEOUT_MS = 10_000;
const DELETE_TIMEOUT_MS = 30_000;
const UPDATE_TIMEOUT_MS = 30_000;

export class RuntimeCommand {
  readonly #runner: ProcessRunner;
  readonly #env: Readonly<Record<string, string>>;

  constructor(runner: ProcessRunner, env: Readonly<Record<string, string>>) {
    this.#runner = runner;
    this.#env = env;
  }

  /**
   * @throws {FailedPreconditionError} the container is not waiting to be started: the runtime's words
   * @throws {NotFoundError} the runtime knows no such container
   */
  async start(
    program: RuntimeProgram,
    id: ContainerId,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    const result = await this.#run(program, ["start", id], options);
    if (result.exitCode !== 0) throw refusal("start", id, result);
  }

  /** Undefined if the runtime knows no such container. */
  async state(program: RuntimeProgram, id: ContainerId): Promise<RuntimeState | undefined> {
    const result = await this.#run(program, ["state", id], { timeoutMs: STATE_TIMEOUT_MS });
    if (result.exitCode !== 0) {
      if (meansGone(errorText(result))) return undefined;
      throw refusal("state", id, result);
    }
    return parseState(new TextDecoder().decode(result.stdout), id);
  }

  /**
   * Sets limits of a container; those left out stay.
   *
   * @throws {FailedPreconditionError} the kernel does not take them: the runtime's words. Those that it
   *   took meanwhile may be in force.
   */
  async update(
    program: RuntimeProgram,
    id: ContainerId,
    resources: ResourceUpdate,
    signal: AbortSignal,
  ): Promise<void> {
    const result = await this.#run(program, ["update", "--resources", "-", id], {
      timeoutMs: UPDATE_TIMEOUT_MS,
      stdin: new TextEncoder().encode(JSON.stringify(resources)),
      signal,
    });
    if (result.exitCode !== 0) throw refusal("update", id, result);
  }

  /** Ends the container's init process and removes the runtime's state; succeeds if it has none. */
  async delete(
    program: RuntimeProgram,
    id: ContainerId | SandboxId,
    signal: AbortSignal,
  ): Promise<void> {
    const result = await this.#run(program, ["delete", "--force", id], {
      timeoutMs: DELETE_TIMEOUT_MS,
      signal,
    });
    if (result.exitCode !== 0 && !meansGone(errorText(result))) {
      throw refusal("delete", id, result);
    }
  }

  #run(
    { runtimePath, runtimeRoot }: RuntimeProgram,
    args: readonly string[],
    { timeoutMs, stdin, signal }: {
      readonly timeoutMs: number;
      readonly stdin?: Uint8Array;
      readonly signal?: AbortSignal;
    },
  ): Promise<CommandResult> {
    return this.#runner.run({
      path: runtimePath,
      args: [`--root=${runtimeRoot}`, ...args],
      env: this.#env,
      timeoutMs,
      outputLimitBytes: OUTPUT_LIMIT_BYTES,
      ...(stdin === undefined ? {} : { stdin }),
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

function errorText(result: CommandResult): string {
  const text = runtimeErrorText(new TextDecoder().decode(result.stderr));
  return text !== "" ? text : `it ended with ${result.exitCode ?? result.endedBy} and said nothing`;
}

function refusal(verb: string, id: string, result: CommandResult): SauropodError {
  const text = errorText(result);
  const message = `Container ${verb} failed: ${text}`;
  return /does not exist/.test(text)
    ? new NotFoundError(message, { id })
    : new FailedPreconditionError(message, { id });
}

function parseState(text: string, id: ContainerId): RuntimeState {
  let document: Readonly<Record<string, unknown>>;
  try {
    document = JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new InternalError("The runtime's state of a container is not JSON", { id, cause });
  }
  const { status, pid } = document;
  switch (status) {
    case "created":
    case "running":
    case "paused":
    case "stopped":
      return { status, pid: typeof pid === "number" ? pid : 0 };
    case "creating":
      return { status: "created", pid: 0 };
    default:
      throw new InternalError(`The runtime's state of a container is unknown: ${String(status)}`, {
        id,
      });
  }
}
