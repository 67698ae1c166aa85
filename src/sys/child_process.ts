/**
 * {@link ProcessRunner}: by `node:child_process`, which unlike `Deno.Command` takes a list of
 * descriptors, or by another {@link ProgramStarter}.
 *
 * Deno rewrites one kind of command line on the way, as if it were Node's: a shell's `-c` with the path
 * of Deno's own executable among its arguments. Commands of ours start programs, not shells.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import {
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  InternalError,
  NotFoundError,
  PermissionDeniedError,
  shown,
} from "../errors/mod.ts";
import type { ByteDescriptor } from "./byte_descriptors.ts";
import type {
  Command,
  CommandResult,
  ProcessRunner,
  SpawnCommand,
  SpawnedProcess,
} from "./process_runner.ts";

/**
 * How long output is awaited after the program itself has ended: a background child of it may hold
 * the pipes for ever.
 */
const DRAIN_MS = 200;
/** How long a killed program may take to vanish: one in an uninterruptible wait does not at all. */
const REAP_MS = 5_000;

type Ending = { readonly exitCode: number | null; readonly endedBy: string | null };

/** How a program becomes a process. */
export interface ProgramStarter {
  /** @throws whatever kept it from starting */
  start(request: StartRequest): StartedProgram;
}

export interface StartRequest {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** By position; a pipe's other end is in the answer, for the first three. */
  readonly stdio: readonly ("pipe" | "ignore" | number)[];
  readonly detached: boolean;
}

export interface StartedProgram {
  readonly pid: number;
  readonly ended: Promise<Ending>;
  readonly stdin?: ProgramInput;
  readonly stdout?: Readable;
  readonly stderr?: Readable;
}

/** The writing end of a program's standard input. */
export type ProgramInput = Pick<ByteDescriptor, "write" | "close">;

export class NodeProcessRunner implements ProcessRunner {
  readonly #starter: ProgramStarter;

  constructor(starter: ProgramStarter = { start: startByNode }) {
    this.#starter = starter;
  }

  /** The first start in a process loads code for 15 to 40 ms; this spends them early. */
  async warmUp(): Promise<void> {
    await this.run({
      path: "/bin/true",
      args: [],
      env: {},
      timeoutMs: 10_000,
      outputLimitBytes: 0,
    }).catch(() => {
      // Only speed is lost.
    });
  }

  async run(command: Command): Promise<CommandResult> {
    const { path, signal } = command;
    if (signal?.aborted === true) {
      throw new CancelledError(`Running ${path} was cancelled`, { path });
    }
    const child = this.#start(command, [
      command.stdin === undefined ? "ignore" : "pipe",
      "pipe",
      "pipe",
    ], true);
    const { ended } = child;
    const stdout = new BoundedOutput(child.stdout as Readable, command.outputLimitBytes);
    const stderr = new BoundedOutput(child.stderr as Readable, command.outputLimitBytes);
    if (command.stdin !== undefined) void feed(child.stdin, command.stdin);

    const stop = await firstOf(ended, command);
    // What is not read by now is read by nobody, or by a child that was not asked for.
    child.stdin?.close();
    if (stop !== undefined) {
      killGroup(child.pid);
      await within(ended, REAP_MS);
      stdout.abandon();
      stderr.abandon();
      throw stop;
    }
    const ending = await ended;
    await within(Promise.all([stdout.closed, stderr.closed]), DRAIN_MS);
    stdout.abandon();
    stderr.abandon();
    return {
      ...ending,
      stdout: stdout.bytes(),
      stderr: stderr.bytes(),
      truncated: stdout.truncated || stderr.truncated,
    };
  }

  spawn(command: SpawnCommand): SpawnedProcess {
    const stdio = command.stdio.map((entry) => entry === "null" ? "ignore" : entry);
    const { pid, ended } = this.#start(command, stdio, command.detached ?? false);
    return { pid, ended };
  }

  #start(
    { path, args, env, cwd }: Program,
    stdio: StartRequest["stdio"],
    detached: boolean,
  ): StartedProgram {
    const program = { path, args, env, ...(cwd === undefined ? {} : { cwd }) };
    checkProgram(program);
    try {
      return this.#starter.start({ ...program, stdio, detached });
    } catch (error) {
      throw startError(path, cwd, error);
    }
  }
}

/** The parts of a command that starting it needs. */
type Program = Pick<SpawnCommand, "path" | "args" | "env" | "cwd">;

function startByNode({ path, args, env, cwd, stdio, detached }: StartRequest): StartedProgram {
  // Above standard error, "ignore" would leave the descriptor closed instead of giving /dev/null.
  const devNull = stdio.includes("ignore", 3) ? openSync("/dev/null", "r+") : undefined;
  try {
    const child = spawn(path, [...args], {
      env: { ...env },
      stdio: stdio.map((entry, index) =>
        entry === "ignore" && index >= 3 ? devNull ?? entry : entry
      ),
      detached,
      ...(cwd === undefined ? {} : { cwd }),
    });
    const ended = endingOf(child);
    if (child.pid === undefined) throw new InternalError(`Node did not start ${path}`, { path });
    const { stdin, stdout, stderr } = child;
    return {
      pid: child.pid,
      ended,
      ...(stdin === null ? {} : { stdin: inputOf(stdin) }),
      ...(stdout === null ? {} : { stdout }),
      ...(stderr === null ? {} : { stderr }),
    };
  } finally {
    if (devNull !== undefined) closeSync(devNull);
  }
}

function checkProgram({ path, args, env, cwd }: Program): void {
  const texts = [path, cwd ?? "", ...args, ...Object.keys(env), ...Object.values(env)];
  const bad = texts.find((text) => text.includes("\0"));
  if (bad !== undefined) {
    throw new InternalError(`Cannot start ${path}: ${shown(bad)} contains a NUL byte`, { path });
  }
  if (!path.startsWith("/")) {
    throw new InternalError(`Cannot start ${shown(path)}: the path is not absolute`, { path });
  }
}

/** Node reports a failed start later and by message; what is wrong with the files can be asked now. */
function startError(path: string, cwd: string | undefined, cause: unknown): Error {
  const file = statOrUndefined(path);
  if (file === undefined) return new NotFoundError(`There is no program ${path}`, { path });
  if (cwd !== undefined && statOrUndefined(cwd)?.isDirectory !== true) {
    return new NotFoundError(`Cannot start ${path}: there is no directory ${cwd}`, { path: cwd });
  }
  if (!file.isFile || ((file.mode ?? 0) & 0o111) === 0) {
    return new PermissionDeniedError(`${path} is not an executable file`, { path });
  }
  return new FailedPreconditionError(`${path} could not be started`, {
    path,
    ...(cause === undefined ? {} : { cause }),
    remedy: "check that it is built for this machine and that memory and processes are left",
  });
}

function statOrUndefined(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}

function endingOf(child: ChildProcess): Promise<Ending> {
  return new Promise((resolve) => {
    child.once("exit", (exitCode, endedBy) => resolve({ exitCode, endedBy }));
    // After a successful start the only errors are failed kills, which are answered elsewhere.
    child.on("error", () => {});
  });
}

/** Undefined when the program ended first, else the error that its time or its caller ended it with. */
function firstOf(ended: Promise<Ending>, command: Command): Promise<Error | undefined> {
  const { path, timeoutMs, signal } = command;
  const { promise, resolve } = Promise.withResolvers<Error | undefined>();
  const onAbort = () => resolve(new CancelledError(`Running ${path} was cancelled`, { path }));
  const timer = setTimeout(
    () => resolve(new DeadlineExceededError(`${path} ran longer than ${timeoutMs} ms`, { path })),
    timeoutMs,
  );
  signal?.addEventListener("abort", onAbort, { once: true });
  void ended.then(() => resolve(undefined));
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The group has ended by itself.
  }
}

async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

/** Writes all of the input; a program that does not read it to the end is in its right. */
async function feed(stdin: ProgramInput | undefined, bytes: Uint8Array): Promise<void> {
  await stdin?.write(bytes);
  stdin?.close();
}

function inputOf(stdin: Writable): ProgramInput {
  stdin.on("error", () => {});
  return {
    write: (bytes) =>
      new Promise((resolve) => {
        stdin.once("close", () => resolve(false));
        stdin.write(bytes, (error) => resolve(error === undefined || error === null));
      }),
    close: () => void stdin.destroy(),
  };
}

/** The first `limit` bytes of a stream; the rest is read and dropped, so that the writer never blocks. */
class BoundedOutput {
  readonly closed: Promise<void>;
  readonly #stream: Readable;
  readonly #limit: number;
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #truncated = false;

  constructor(stream: Readable, limit: number) {
    this.#stream = stream;
    this.#limit = limit;
    this.closed = new Promise((resolve) => {
      stream.once("close", () => resolve());
      stream.once("error", () => resolve());
    });
    stream.on("data", (chunk: Uint8Array) => this.#keep(chunk));
  }

  get truncated(): boolean {
    return this.#truncated;
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  abandon(): void {
    this.#stream.destroy();
  }

  #keep(chunk: Uint8Array): void {
    const room = this.#limit - this.#length;
    if (chunk.length > room) this.#truncated = true;
    const kept = chunk.subarray(0, Math.max(0, room));
    if (kept.length === 0) return;
    // A copy: a view would keep the stream's whole buffer alive.
    this.#chunks.push(kept.slice());
    this.#length += kept.length;
  }
}
