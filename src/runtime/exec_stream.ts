/**
 * Running one command in a container with a client's streams.
 *
 * The runtime starts the command and ends; the command becomes a child of this process and has our
 * pipes, or a terminal whose master is ours, without anything in between. It runs in a cgroup below its
 * container's, so that everything it started ends when the client goes away.
 *
 * @module
 */
import { DeadlineExceededError, InternalError, isErrno, SyscallError } from "../errors/mod.ts";
import { type ByteSink, type ClientStreams, isScope, type TerminalSize } from "../model/mod.ts";
import {
  type ByteDescriptor,
  type ByteDescriptors,
  ConsoleSocket,
  type Fd,
  type Kernel,
  parseSignal,
  SIGKILL,
} from "../sys/mod.ts";
import type { OrphanKeeper, ProcessEnding, SpawnedProcess } from "../sys/process_runner.ts";
import { consume } from "./client_streams.ts";
import { readPidFile } from "./conmon.ts";
import type { ExecStreamRequest } from "./containers_runtime.ts";
import {
  endExec,
  execCgroup,
  type ExecFiles,
  execFiles,
  makeExecCgroup,
  newExecName,
  processDocument,
  startRefused,
} from "./exec_place.ts";
import type { ExecContext, ExecPorts } from "./exec_sync.ts";
import { deadline } from "./pipe_reading.ts";

/** Fewer turns for large output; where the node's limits do not allow it the pipe stays as it is. */
const PIPE_BYTES = 1 << 20;
/** How long output is awaited that comes after the command's end: a child of it may hold it for ever. */
const LINGER_MS = 2_000;
/** What is on its way from the kernel to a stream arrives in this time. */
const SETTLE_MS = 100;
/** More than this after its end cannot be the command's own: a full pipe and what is on its way. */
const LEFT_BEHIND_BYTES = PIPE_BYTES + (1 << 19);
const LOG_LIMIT_BYTES = 64 * 1024;

export interface ExecStreamContext extends ExecContext {
  readonly ports: ExecPorts & {
    readonly orphans: OrphanKeeper;
    readonly descriptors: ByteDescriptors;
  };
}

/** See {@link import("./containers_runtime.ts").ContainerRuntime.exec}. */
export async function execStream(
  request: ExecStreamRequest,
  context: ExecStreamContext,
): Promise<number> {
  const { place, process, args, terminal, streams } = request;
  const { options, ports: { cgroups, orphans } } = context;
  streams.signal.throwIfAborted();
  const name = newExecName();
  const cgroup = execCgroup(place, name);
  using files = execFiles(options.execDir, name);
  const subCgroup = makeExecCgroup(cgroups, place, name);
  let starter: SpawnedProcess | undefined;
  let command: { readonly pid: number; running: boolean } | undefined;
  try {
    Deno.writeTextFileSync(files.process, processDocument(process, { args, terminal }), {
      mode: 0o600,
    });
    using stdio = terminal
      ? new TerminalStdio(context, `${options.execDir}/${name}.sock`)
      : new PipeStdio(context, streams);
    using orphan = orphans.expectOrphan();
    starter = startRuntime({ request, context, files, subCgroup, stdio });
    const pid = await startedPid(starter, files, request);
    command = { pid, running: true };
    const running = command;
    const ended = orphan.adopt(pid).finally(() => running.running = false);
    using connected = stdio.connect(streams);
    const exitCode = await converse(connected, streams, ended);
    // What it left running goes on in the container's own group.
    cgroups.dissolve(cgroup);
    return exitCode;
  } catch (error) {
    await abandon({ request, context, cgroup, starter, command, error });
    throw error;
  }
}

function startRuntime({ request: { place }, context, files, subCgroup, stdio }: {
  readonly request: ExecStreamRequest;
  readonly context: ExecStreamContext;
  readonly files: ExecFiles;
  readonly subCgroup: string | undefined;
  readonly stdio: CommandStdio;
}): SpawnedProcess {
  const { handler, options, ports } = context;
  const starter = ports.runner.spawn({
    path: handler.runtimePath,
    args: [
      `--root=${handler.runtimeRoot}`,
      // Standard error is the command's.
      `--log=${files.log}`,
      "--log-format=json",
      ...(isScope(place.cgroupPath) ? ["--systemd-cgroup"] : []),
      "exec",
      "--detach",
      `--process=${files.process}`,
      `--pid-file=${files.pid}`,
      ...(subCgroup === undefined ? [] : [`--cgroup=${subCgroup}`]),
      ...(stdio.consoleSocket === undefined ? [] : [`--console-socket=${stdio.consoleSocket}`]),
      place.id,
    ],
    env: { ...options.environment },
    cwd: options.execDir,
    stdio: stdio.given,
    detached: true,
  });
  stdio.closeGiven();
  return starter;
}

/** Waits until the runtime has started the command and ended. */
async function startedPid(
  starter: SpawnedProcess,
  files: ExecFiles,
  { place, startTimeoutMs, streams }: ExecStreamRequest,
): Promise<number> {
  const { id } = place;
  using limit = deadline(
    startTimeoutMs,
    () =>
      new DeadlineExceededError(
        `The command in container ${id} was not started within ${startTimeoutMs} ms`,
        { id, stage: "exec" },
      ),
    streams.signal,
  );
  const { exitCode, endedBy } = await unless(limit.signal, starter.ended);
  if (exitCode !== 0) {
    throw startRefused(
      place,
      wordsOf(files.log) || `the runtime ended with ${exitCode ?? endedBy}`,
    );
  }
  const pid = readPidFile(files.pid);
  if (pid !== undefined) return pid;
  throw new InternalError(`The runtime started a command in container ${id} without its pid`, {
    id,
    stage: "exec",
  });
}

/** The work's result, or the signal's reason if it fires first. */
async function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function wordsOf(path: string): string {
  try {
    return Deno.statSync(path).size > LOG_LIMIT_BYTES ? "" : Deno.readTextFileSync(path);
  } catch {
    return ""; // the runtime did not come as far as writing one
  }
}

/** Ends what there may be of the command, in whatever stage it is. */
async function abandon(
  { request: { place }, context: { ports }, cgroup, starter, command, error }: {
    readonly request: ExecStreamRequest;
    readonly context: ExecStreamContext;
    readonly cgroup: string;
    readonly starter: SpawnedProcess | undefined;
    readonly command: { readonly pid: number; readonly running: boolean } | undefined;
    readonly error: unknown;
  },
): Promise<void> {
  try {
    // On a node without a freezer it is in no cgroup of its own. Until it is reaped the number is its.
    if (command?.running === true) kill(ports.kernel, command.pid);
    await endExec(cgroup, starter, ports);
  } catch (cause) {
    throw new DeadlineExceededError(
      `A command in container ${place.id} was given up, but processes of it are left`,
      { id: place.id, stage: "exec", cause: new AggregateError([error, cause]) },
    );
  }
}

function kill(kernel: Kernel, pid: number): void {
  try {
    kernel.kill(pid, SIGKILL);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error; // it has just ended
  }
}

/** What a command gets as its first three descriptors. */
interface CommandStdio extends Disposable {
  readonly given: readonly (number | "null")[];
  readonly consoleSocket: string | undefined;
  /** Once the runtime is there: an end of the output comes only if we do not hold it open ourselves. */
  closeGiven(): void;
  /** Once the runtime has ended well. */
  connect(streams: ClientStreams): ConnectedStdio;
}

/** Our ends. */
interface ConnectedStdio extends Disposable {
  readonly stdin: Pick<ByteDescriptor, "write" | "close"> | undefined;
  readonly outputs: readonly Output[];
  resize(size: TerminalSize): void;
}

class PipeStdio implements CommandStdio {
  readonly given: readonly (number | "null")[];
  readonly consoleSocket = undefined;
  readonly #descriptors: ByteDescriptors;
  readonly #theirs = new DisposableStack();
  readonly #ours = new DisposableStack();
  readonly #ends: readonly (Fd | undefined)[];

  constructor(
    { ports: { kernel, descriptors } }: ExecStreamContext,
    streams: ClientStreams,
  ) {
    this.#descriptors = descriptors;
    const ends: (Fd | undefined)[] = [];
    try {
      this.given = [streams.stdin, streams.stdout, streams.stderr].map((stream, position) => {
        if (stream === undefined) {
          ends.push(undefined);
          return "null";
        }
        const { read, write } = kernel.pipe2(0);
        const [theirs, ours] = position === 0 ? [read, write] : [write, read];
        this.#theirs.use(theirs);
        ends.push(this.#ours.use(ours));
        // The runtime makes them the user's, so that `>/dev/stderr` of a shell can open its own anew.
        enlarge(kernel, ours);
        return theirs.number;
      });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    this.#ends = ends;
  }

  closeGiven(): void {
    this.#theirs.dispose();
  }

  connect({ stdout, stderr }: ClientStreams): ConnectedStdio {
    const [input, ...ends] = this.#ends;
    const outputs = [stdout, stderr].flatMap((sink, index) => {
      const end = ends[index];
      return end === undefined ? [] : [new Output(this.#descriptors.open(end), sink)];
    });
    const stdin = input === undefined ? undefined : this.#descriptors.open(input);
    return {
      stdin,
      outputs,
      resize: () => {}, // pipes have no size
      [Symbol.dispose]: () => {
        stdin?.close();
        for (const output of outputs) output.close();
      },
    };
  }

  [Symbol.dispose](): void {
    this.#theirs.dispose();
    this.#ours.dispose();
  }
}

class TerminalStdio implements CommandStdio {
  readonly given = ["null", "null", "null"] as const;
  readonly consoleSocket: string;
  readonly #kernel: Kernel;
  readonly #descriptors: ByteDescriptors;
  readonly #socket: ConsoleSocket;

  constructor({ ports: { kernel, descriptors } }: ExecStreamContext, socketPath: string) {
    this.#kernel = kernel;
    this.#descriptors = descriptors;
    this.#socket = new ConsoleSocket(kernel, socketPath);
    this.consoleSocket = this.#socket.path;
  }

  closeGiven(): void {}

  connect({ stdout }: ClientStreams): ConnectedStdio {
    const master = this.#socket.take();
    if (master === undefined) {
      throw new InternalError("The runtime started a command without handing over its terminal");
    }
    const terminal = this.#descriptors.open(master);
    return {
      stdin: {
        // Nothing has the terminal open any more.
        write: (bytes) => terminal.write(bytes).catch(falseAtEio),
        // A terminal has no end that its other side could be told of.
        close: () => {},
      },
      outputs: [new Output(terminal, stdout)],
      resize: (size) => {
        if (!master.closed) this.#kernel.setTerminalSize(master.number, size);
      },
      [Symbol.dispose]: () => terminal.close(),
    };
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** @throws what is not the end of a terminal, as its master has it */
function falseAtEio(error: unknown): false {
  if (!isErrno(error, "EIO")) throw error;
  return false;
}

function enlarge(kernel: Kernel, pipe: Fd): void {
  try {
    kernel.setPipeCapacity(pipe.number, PIPE_BYTES);
  } catch (error) {
    if (!isErrno(error, "EPERM", "EBUSY")) throw error;
  }
}

/** One of a command's outputs on its way to the client. */
class Output {
  /** Resolves at the output's end, when all of it has been written; rejects if the client is gone. */
  readonly done: Promise<void>;
  readonly #end: ByteDescriptor;
  readonly #sink: ByteSink | undefined;
  #held = 0;
  #delivered = 0;

  constructor(end: ByteDescriptor, sink: ByteSink | undefined) {
    this.#end = end;
    this.#sink = sink;
    this.done = this.#pump();
    this.done.catch(() => {}); // whoever converses looks at it
  }

  /** After the command's end: resolves once what it had written has been written to the client. */
  async drained(): Promise<void> {
    const atEnd = this.#delivered;
    for (;;) {
      if (await settledWithin(this.done, LINGER_MS)) return;
      if (this.#delivered - atEnd > LEFT_BEHIND_BYTES) break;
      if (this.#waiting() > 0) continue;
      if (await settledWithin(this.done, SETTLE_MS)) return;
      if (this.#waiting() === 0) break;
    }
    // What comes from now on is not the command's, and must not be written behind the sink's end.
    this.close();
    await this.done;
  }

  close(): void {
    this.#end.close();
  }

  async #pump(): Promise<void> {
    for (let chunk = await this.#read(); chunk !== undefined; chunk = await this.#read()) {
      this.#held = chunk.length;
      await this.#sink?.write(chunk);
      this.#held = 0;
      this.#delivered += chunk.length;
    }
    await this.#sink?.end();
  }

  async #read(): Promise<Uint8Array | undefined> {
    try {
      return await this.#end.read();
    } catch (error) {
      // The end of a terminal comes as an error of its master.
      if (isErrno(error, "EIO")) return undefined;
      throw error;
    }
  }

  #waiting(): number {
    return this.#end.unread() + this.#held;
  }
}

/** True if it settled; rejects as it does. */
async function settledWithin(work: Promise<void>, ms: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, ms, false);
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Copies in all directions until the command has ended; throws if the client goes away before. */
async function converse(
  { stdin, outputs, resize }: ConnectedStdio,
  { stdin: source, resizes, signal }: ClientStreams,
  ended: Promise<ProcessEnding>,
): Promise<number> {
  const over = new AbortController();
  const { promise: lost, reject: lose } = Promise.withResolvers<never>();
  lost.catch(() => {});
  const onAbort = () => lose(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  for (const { done } of outputs) done.catch(lose);
  if (stdin !== undefined && source !== undefined) {
    consume(source, over.signal, (bytes) => stdin.write(bytes)).then((finished) => {
      if (finished) stdin.close();
    }).catch(lose);
  }
  if (resizes !== undefined) {
    consume(resizes, over.signal, (size) => {
      try {
        resize(size);
      } catch (error) {
        // A size is a wish: a terminal that refuses it does not end its command.
        if (!(error instanceof SyscallError)) throw error;
      }
      return true;
    }).catch(lose);
  }
  try {
    const ending = await Promise.race([ended, lost]);
    over.abort();
    await Promise.race([Promise.all(outputs.map((output) => output.drained())), lost]);
    return exitCodeOf(ending);
  } finally {
    over.abort();
    signal.removeEventListener("abort", onAbort);
  }
}

function exitCodeOf({ exitCode, endedBy }: ProcessEnding): number {
  return exitCode ?? 128 + parseSignal(endedBy ?? "SIGKILL");
}
