/**
 * Starting a container's monitor, which creates the container and outlives this process.
 *
 * @module
 */
import { isScope, monitorScope, unitOf } from "../model/mod.ts";
import { adoptReader, SIGKILL } from "../sys/mod.ts";
import {
  DeadlineExceededError,
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  isErrno,
  shown,
} from "../errors/mod.ts";
import type { Fd, Kernel } from "../sys/kernel.ts";
import type { ProcessRunner, SpawnedProcess } from "../sys/process_runner.ts";
import type { SystemdUnits } from "../sys/systemd.ts";
import type { ProcessIdentity, ProcessTable } from "../sys/watching.ts";
import { createArguments, monitorEnvironment, monitorFiles } from "./conmon_arguments.ts";
import type { ContainerPlace, CreatedContainer, CreateOptions } from "./containers_runtime.ts";
import type { RuntimeHandler, RuntimeOptions } from "./handlers.ts";
import {
  type MonitorReport,
  parseMonitorReport,
  REPORT_LIMIT_BYTES,
  runtimeErrorText,
} from "./monitor_report.ts";
import { deadline, readLine } from "./pipe_reading.ts";

export interface MonitorPorts {
  readonly kernel: Kernel;
  readonly runner: ProcessRunner;
  readonly processes: ProcessTable;
  /** For containers whose cgroup is a scope; asked for nothing else. */
  readonly units: SystemdUnits;
}

const START = new Uint8Array(1);
/** Where CRI-O's monitors are. */
const MONITOR_SLICE = "system.slice";

/**
 * Starts a monitor and waits until it has created the container.
 *
 * The monitor stays in this process's cgroup, or goes into a scope of its own if systemd has the
 * container's: what it and the runtime use while starting is not charged to the pod. It survives this process's death at any moment, because it holds the reading
 * end of its own report.
 *
 * @throws {FailedPreconditionError} the runtime refused: its own words
 * @throws {DeadlineExceededError} the handler's time-out passed; monitor and container may still come
 */
export async function createWithMonitor(
  create: CreateOptions,
  context: {
    readonly handler: RuntimeHandler;
    readonly options: RuntimeOptions;
    readonly ports: MonitorPorts;
    readonly signal: AbortSignal;
  },
): Promise<CreatedContainer> {
  const { handler, options, ports } = context;
  const { kernel, runner, processes } = ports;
  const { id, bundle, logPath } = create.place;
  if (logPath.includes(":")) {
    throw new InvalidArgumentError(
      `The log path ${shown(logPath)} has a colon, which conmon cuts at`,
      {
        field: "log_path",
        value: logPath,
      },
    );
  }
  using sync = pipe(kernel);
  using start = pipe(kernel);
  const monitor = runner.spawn({
    path: handler.monitorPath,
    args: createArguments(create, handler, options),
    env: monitorEnvironment(handler, options),
    cwd: bundle,
    // Position is number: 3 the report, 4 the start, 5 the report's other end.
    stdio: [
      ...["null", "null", "null"] as const,
      ...[sync.write.number, start.read.number, sync.read.number],
    ],
    detached: true,
  });
  for (const end of [sync.write, start.read]) end.close();
  if (isScope(create.place.cgroupPath)) await placeMonitor(create.place, monitor, context);
  sendStart(kernel, start.write);

  const report = adoptReader(sync.read);
  try {
    using limit = deadline(
      handler.createTimeoutMs,
      () =>
        new DeadlineExceededError(
          `Container ${id} was not created within ${handler.createTimeoutMs} ms`,
          { id, remedy: "look for what the runtime waits for, or raise container_create_timeout" },
        ),
      context.signal,
    );
    const line = await readLine(report, { limitBytes: REPORT_LIMIT_BYTES, signal: limit.signal });
    const pid = await createdPid(line, id, monitor);
    await monitor.ended; // the first process, which has written the pid file of the second by then
    return {
      init: identified(processes, pid, "container", id),
      monitor: identified(
        processes,
        readPidFile(monitorFiles(bundle).monitorPidFile) ?? 0,
        "monitor",
        id,
      ),
    };
  } finally {
    report.destroy();
  }
}

/** Puts a monitor that waits for its start into its scope, which its forks inherit. */
async function placeMonitor(
  { id, cgroupPath }: ContainerPlace,
  monitor: SpawnedProcess,
  { handler, ports, signal }: {
    readonly handler: RuntimeHandler;
    readonly ports: MonitorPorts;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const pod = unitOf(cgroupPath.slice(0, cgroupPath.lastIndexOf("/")));
  try {
    await ports.units.startScope({
      name: monitorScope(id),
      slice: handler.monitorCgroup === "pod" ? pod : handler.monitorCgroup || MONITOR_SLICE,
      description: `Monitor of container ${id}`,
      pid: monitor.pid,
    }, signal);
  } catch (error) {
    // It takes the end of the start pipe for the start.
    ports.kernel.kill(monitor.pid, SIGKILL);
    await monitor.ended;
    throw error;
  }
}

/** A pid from a file that a monitor or a runtime wrote; undefined while there is none. */
export function readPidFile(path: string): number | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const pid = /^[1-9][0-9]{0,9}$/.test(text.trim()) ? Number(text) : 0;
  return pid > 0 && pid < 2 ** 31 ? pid : undefined;
}

/** Reads what a monitor reported about the creation. */
async function createdPid(line: string, id: string, monitor: SpawnedProcess): Promise<number> {
  const report: MonitorReport | undefined = parseMonitorReport(line);
  if (report !== undefined && report.value > 0) return report.value;
  if (report !== undefined) {
    throw new FailedPreconditionError(
      `Container create failed: ${
        runtimeErrorText(report.message) || "the runtime gave no reason"
      }`,
      { id, stage: "runtime create" },
    );
  }
  const { exitCode, endedBy } = await monitor.ended;
  throw new InternalError(
    `The monitor of container ${id} ended without a report (${exitCode ?? endedBy})`,
    { id, stage: "runtime create", remedy: "look for conmon in the system log" },
  );
}

function identified(
  processes: ProcessTable,
  pid: number,
  what: string,
  id: string,
): ProcessIdentity {
  const identity = processes.identify(pid);
  if (identity !== undefined) return identity;
  throw new FailedPreconditionError(
    `The ${what} process ${pid} of container ${id} ended while the container was created`,
    { id, stage: "runtime create" },
  );
}

/** A pipe whose ends are closed at the end of the scope, unless they were given away. */
export function pipe(kernel: Kernel): { readonly read: Fd; readonly write: Fd } & Disposable {
  const { read, write } = kernel.pipe2(0);
  return {
    read,
    write,
    [Symbol.dispose]: () => {
      read.close();
      write.close();
    },
  };
}

/** Lets a monitor begin. A monitor that is gone already tells so by its missing report. */
export function sendStart(kernel: Kernel, to: Fd): void {
  try {
    kernel.write(to.number, START);
  } catch (error) {
    if (!isErrno(error, "EPIPE")) throw error;
  } finally {
    to.close();
  }
}
