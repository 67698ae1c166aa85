/**
 * Running one command in a container to its end, below a monitor of its own.
 *
 * The monitor writes the output as a log into a pipe of ours: nothing is kept on disk, what is beyond
 * the limit is read and dropped, and a background child that holds the command's output does not delay
 * the answer. The command runs in a cgroup below its container's, so that a time-out ends everything
 * it started.
 *
 * @module
 */
import {
  DeadlineExceededError,
  FailedPreconditionError,
  InternalError,
  isErrno,
  NotFoundError,
  type SauropodError,
} from "../errors/mod.ts";
import { adoptStream, SIGKILL } from "../sys/mod.ts";
import type { Cgroups } from "../sys/cgroup.ts";
import type { SpawnedProcess } from "../sys/process_runner.ts";
import { execArguments, monitorEnvironment } from "./conmon_arguments.ts";
import { type MonitorPorts, pipe, sendStart } from "./conmon.ts";
import type { ContainerPlace, ExecRequest, ExecResult } from "./containers_runtime.ts";
import { ExecOutput } from "./exec_output.ts";
import type { RuntimeHandler, RuntimeOptions } from "./handlers.ts";
import {
  meansGone,
  type MonitorReport,
  parseMonitorReport,
  REPORT_LIMIT_BYTES,
  runtimeErrorText,
} from "./monitor_report.ts";
import { deadline, readLine } from "./pipe_reading.ts";

export const EXEC_CGROUP_PREFIX = "sauropod-exec-";

/** Killed processes that do not vanish in this time are in an uninterruptible wait. */
const KILL_TIMEOUT_MS = 5_000;
/** How long a monitor may take to reap a killed command and end. */
const MONITOR_TIMEOUT_MS = 1_000;
/** The monitor closes the output right after its report; this only guards against one that hangs. */
const DRAIN_TIMEOUT_MS = 2_000;
/** Longest timer; an exec without a time-out has it. */
const FOREVER_MS = 2 ** 31 - 1;
/** A line of one byte takes 47 in the log: so many log bytes hold the limit's worth of output. */
const LOG_BYTES_A_BYTE = 48;
const LOG_SLACK_BYTES = 1 << 20;

export interface ExecPorts extends MonitorPorts {
  readonly cgroups: Cgroups;
}

export interface ExecContext {
  readonly handler: RuntimeHandler;
  readonly options: RuntimeOptions;
  readonly ports: ExecPorts;
}

/** See {@link import("./containers_runtime.ts").ContainerRuntime.execSync}. */
export async function execSync(request: ExecRequest, context: ExecContext): Promise<ExecResult> {
  const { place } = request;
  const name = `${EXEC_CGROUP_PREFIX}${crypto.getRandomValues(new Uint8Array(8)).toHex()}`;
  const { cgroups } = context.ports;
  using files = execFiles(context.options.execDir, name);
  const subCgroup = makeCgroup(cgroups, place, name);
  let running: RunningExec | undefined;
  try {
    Deno.writeTextFileSync(files.process, processDocument(request), { mode: 0o600 });
    running = startExec({ request, context, files, subCgroup });
    const report = await finished(running, request);
    // What it left running goes on in the container's own group.
    cgroups.dissolve(`${place.cgroupPath}/${name}`);
    if (report.value < 0) throw refusal(place, report);
    return { exitCode: report.value, ...running.output.result() };
  } catch (error) {
    await abandon(running, { place, name, context, error });
    throw error;
  } finally {
    running?.[Symbol.dispose]();
  }
}

/** Ends what execs of an earlier life of this process left running in a container. */
export async function sweepExecs(place: ContainerPlace, cgroups: Cgroups): Promise<void> {
  for (const name of cgroups.children(place.cgroupPath)) {
    if (!name.startsWith(EXEC_CGROUP_PREFIX)) continue;
    await cgroups.destroy(`${place.cgroupPath}/${name}`, KILL_TIMEOUT_MS);
  }
}

/**
 * Makes a cgroup below a container's for one exec.
 *
 * @returns the name by which the runtime joins it, or undefined if the node has no freezer
 */
function makeCgroup(
  cgroups: Cgroups,
  place: ContainerPlace,
  name: string,
): string | undefined {
  try {
    if (!cgroups.createKillable(`${place.cgroupPath}/${name}`)) return undefined;
    // On v1 the controller is named, or the runtime wants the directory under every one of them.
    return cgroups.version === 2 ? name : `freezer:${name}`;
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new NotFoundError(`Container ${place.id} has no cgroup, so it is not running`, {
      id: place.id,
      cause,
    });
  }
}

function processDocument({ process, args }: ExecRequest): string {
  return JSON.stringify({ ...process, args, terminal: false });
}

interface ExecFiles extends Disposable {
  readonly process: string;
  readonly pid: string;
}

function execFiles(directory: string, name: string): ExecFiles {
  const files = { process: `${directory}/${name}.json`, pid: `${directory}/${name}.pid` };
  return {
    ...files,
    [Symbol.dispose]: () => {
      for (const path of Object.values(files)) {
        try {
          Deno.removeSync(path);
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error; // it had not been made yet
        }
      }
    },
  };
}

interface RunningExec extends Disposable {
  readonly monitor: SpawnedProcess;
  readonly report: ReturnType<typeof adoptStream>;
  readonly output: ExecOutput;
  /** Resolves at the end of the output; rejects if it is not in the log's format. */
  readonly drained: Promise<void>;
}

function startExec(
  { request, context, files, subCgroup }: {
    readonly request: ExecRequest;
    readonly context: ExecContext;
    readonly files: ExecFiles;
    readonly subCgroup: string | undefined;
  },
): RunningExec {
  const { handler, options, ports: { kernel, runner } } = context;
  using sync = pipe(kernel);
  using start = pipe(kernel);
  using log = pipe(kernel);
  const monitor = runner.spawn({
    path: handler.monitorPath,
    args: execArguments({
      place: request.place,
      name: request.place.id,
      handler,
      options,
      processFile: files.process,
      pidFile: files.pid,
      subCgroup,
      logLimitBytes: request.outputLimitBytes * LOG_BYTES_A_BYTE + LOG_SLACK_BYTES,
    }),
    env: monitorEnvironment(handler, options),
    // Not the bundle: a mark of an exec's own death for lack of memory must not look like the container's.
    cwd: options.execDir,
    stdio: ["null", "null", "null", sync.write.number, start.read.number, log.write.number],
    detached: true,
  });
  sendStart(kernel, start.write);
  const report = adoptStream(sync.read);
  const stream = adoptStream(log.read);
  const output = new ExecOutput(request.outputLimitBytes);
  const { promise: drained, resolve, reject } = Promise.withResolvers<void>();
  stream.on("data", (chunk: Uint8Array) => {
    try {
      output.push(chunk);
    } catch (error) {
      reject(error);
    }
  });
  stream.once("close", resolve);
  stream.once("error", reject);
  drained.catch(() => {}); // looked at by whoever waits; nobody does after a time-out
  return {
    monitor,
    report,
    output,
    drained,
    [Symbol.dispose]: () => {
      report.destroy();
      stream.destroy();
    },
  };
}

async function finished(
  { monitor, report, drained }: RunningExec,
  { place, timeoutMs, signal }: ExecRequest,
): Promise<MonitorReport> {
  const { id } = place;
  using limit = deadline(
    timeoutMs > 0 ? Math.min(timeoutMs, FOREVER_MS) : FOREVER_MS,
    () =>
      new DeadlineExceededError(
        `The command in container ${id} ran longer than ${timeoutMs} ms and was killed`,
        { id, stage: "exec" },
      ),
    signal,
  );
  const line = await Promise.race([
    readLine(report, { limitBytes: REPORT_LIMIT_BYTES, signal: limit.signal }),
    drained.then(() => new Promise<never>(() => {})), // only its failure counts here
  ]);
  const parsed = parseMonitorReport(line);
  if (parsed === undefined) {
    const { exitCode, endedBy } = await monitor.ended;
    throw new InternalError(
      `The monitor of a command in container ${id} ended without a report (${exitCode ?? endedBy})`,
      { id, stage: "exec" },
    );
  }
  using _drain = deadline(DRAIN_TIMEOUT_MS, () => new Error("not drained"));
  await Promise.race([
    drained,
    new Promise<void>((resolve) => _drain.signal.addEventListener("abort", () => resolve())),
  ]);
  return parsed;
}

/**
 * Ends the command and everything that it started, the runtime and the monitor.
 *
 * The cgroup goes first: without it a command that is still being started cannot be, and what was
 * killed in it is reaped by its monitor. Left to the node's init process, it would hold up the end of
 * the container's PID namespace for as long as that takes.
 */
async function abandon(
  running: RunningExec | undefined,
  { place, name, context: { ports }, error }: {
    readonly place: ContainerPlace;
    readonly name: string;
    readonly context: ExecContext;
    readonly error: unknown;
  },
): Promise<void> {
  const endCgroup = () => ports.cgroups.destroy(`${place.cgroupPath}/${name}`, KILL_TIMEOUT_MS);
  try {
    await endCgroup();
    if (running !== undefined) await endMonitor(running.monitor, ports);
    await endCgroup();
  } catch (cause) {
    throw new DeadlineExceededError(
      `A command in container ${place.id} was given up, but processes of it are left`,
      { id: place.id, stage: "exec", cause: new AggregateError([error, cause]) },
    );
  }
}

async function endMonitor(monitor: SpawnedProcess, { kernel }: ExecPorts): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<true>();
  const timer = setTimeout(resolve, MONITOR_TIMEOUT_MS, true);
  try {
    if (await Promise.race([monitor.ended, late]) !== true) return;
    // The runtime dies with it by its parent-death signal.
    kernel.kill(monitor.pid, SIGKILL);
    await monitor.ended;
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error; // it ended just then
  } finally {
    clearTimeout(timer);
  }
}

function refusal({ id }: ContainerPlace, { message }: MonitorReport): SauropodError {
  const text = runtimeErrorText(message);
  const details = { id, stage: "exec" };
  if (meansGone(text) || /cannot exec in a (?:stopped|paused) container/.test(text)) {
    return new FailedPreconditionError(`Container ${id} is not running: ${text}`, details);
  }
  return new FailedPreconditionError(
    `The command could not be started in container ${id}: ${text || "the runtime gave no reason"}`,
    details,
  );
}
