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
import { DeadlineExceededError, InternalError } from "../errors/mod.ts";
import { LONGEST_TIMER_MS } from "../model/mod.ts";
import { adoptReader } from "../sys/mod.ts";
import type { Cgroups } from "../sys/cgroup.ts";
import type { SpawnedProcess } from "../sys/process_runner.ts";
import { execArguments, monitorEnvironment } from "./conmon_arguments.ts";
import { type MonitorPorts, pipe, sendStart } from "./conmon.ts";
import type { ContainerPlace, ExecRequest, ExecResult } from "./containers_runtime.ts";
import { ExecOutput } from "./exec_output.ts";
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
import type { RuntimeHandler, RuntimeOptions } from "./handlers.ts";
import { type MonitorReport, parseMonitorReport, REPORT_LIMIT_BYTES } from "./monitor_report.ts";
import { deadline, readLine } from "./pipe_reading.ts";

/** The monitor closes the output right after its report; this only guards against one that hangs. */
const DRAIN_TIMEOUT_MS = 2_000;
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
  const name = newExecName();
  const { cgroups } = context.ports;
  using files = execFiles(context.options.execDir, name);
  const subCgroup = makeExecCgroup(cgroups, place, name);
  let running: RunningExec | undefined;
  try {
    Deno.writeTextFileSync(
      files.process,
      processDocument(request.process, { args: request.args, terminal: false }),
      { mode: 0o600 },
    );
    running = startExec({ request, context, files, subCgroup });
    const report = await finished(running, request);
    // What it left running goes on in the container's own group.
    cgroups.dissolve(execCgroup(place, name));
    if (report.value < 0) throw startRefused(place, report.message);
    return { exitCode: report.value, ...running.output.result() };
  } catch (error) {
    await abandon(running, { place, name, context, error });
    throw error;
  } finally {
    running?.[Symbol.dispose]();
  }
}

interface RunningExec extends Disposable {
  readonly monitor: SpawnedProcess;
  readonly report: ReturnType<typeof adoptReader>;
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
  const report = adoptReader(sync.read);
  const stream = adoptReader(log.read);
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
    timeoutMs > 0 ? Math.min(timeoutMs, LONGEST_TIMER_MS) : LONGEST_TIMER_MS,
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
  try {
    await endExec(execCgroup(place, name), running?.monitor, ports);
  } catch (cause) {
    throw new DeadlineExceededError(
      `A command in container ${place.id} was given up, but processes of it are left`,
      { id: place.id, stage: "exec", cause: new AggregateError([error, cause]) },
    );
  }
}
