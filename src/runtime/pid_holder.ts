/**
 * The process that holds a pod's PID namespace: a container of the OCI runtime without a monitor. It has
 * no output, no terminal and no exit code that anybody asks for; its end is seen by a pidfd.
 *
 * @module
 */
import { DeadlineExceededError, FailedPreconditionError, InternalError } from "../errors/mod.ts";
import { isScope, type JsonObject, parseSandboxId, type SandboxId } from "../model/mod.ts";
import type { ResourceType } from "../state/journal.ts";
import type { Intent } from "../state/steps.ts";
import { SIGKILL } from "../sys/mod.ts";
import type { ProcessRunner, SpawnedProcess } from "../sys/process_runner.ts";
import type { ProcessIdentity, ProcessTable } from "../sys/watching.ts";
import { readPidFile } from "./conmon.ts";
import { CGROUP_TIMEOUT_MS, endedWithin, type RemovalPorts } from "./container_removal.ts";
import type { PidHolderPlace } from "./containers_runtime.ts";
import type { RuntimeHandler, RuntimeOptions } from "./handlers.ts";
import { runtimeErrorText } from "./monitor_report.ts";
import { deadline } from "./pipe_reading.ts";

/** What undoing needs, independent of the configuration that was in force. */
export interface RecordedPidHolder {
  readonly id: SandboxId;
  readonly bundle: string;
  readonly cgroupPath: string;
  readonly runtimePath: string;
  readonly runtimeRoot: string;
}

const KIND = "pid-namespace-holder";
const RUNTIME_KILLED_TIMEOUT_MS = 2_000;
/** The runtime's words are a line or two. */
const LOG_LIMIT_BYTES = 64 * 1024;

export function pidHolderIntent(holder: RecordedPidHolder): Intent {
  return { kind: KIND, payload: { ...holder } };
}

/** The resource `pid-namespace-holder`: the process, its cgroup, the runtime's state and their files. */
export function pidHolderType(ports: RemovalPorts): ResourceType<RecordedPidHolder> {
  return {
    kind: KIND,
    parse: parseRecorded,
    undo: async (holder, { sameBoot, signal }) => {
      // After a reboot the recorded cgroup is other people's: only files are ours.
      if (sameBoot) await removePidHolder(holder, ports, signal);
      else removeFiles(holder);
    },
  };
}

/**
 * Has the runtime start the holder and waits until it runs. The caller has written config.json.
 *
 * @throws {FailedPreconditionError} the runtime refused: its own words
 * @throws {DeadlineExceededError} the handler's time-out passed; a holder may still come
 */
export async function startPidHolder(
  { id, bundle, cgroupPath }: PidHolderPlace,
  context: {
    readonly handler: RuntimeHandler;
    readonly options: RuntimeOptions;
    readonly ports: { readonly runner: ProcessRunner; readonly processes: ProcessTable };
    readonly signal: AbortSignal;
  },
): Promise<ProcessIdentity> {
  const { handler, options, ports: { runner, processes } } = context;
  const files = holderFiles(bundle);
  const runtime = runner.spawn({
    path: handler.runtimePath,
    args: [
      `--root=${handler.runtimeRoot}`,
      `--log=${files.log}`,
      "--log-format=json",
      ...(isScope(cgroupPath) ? ["--systemd-cgroup"] : []),
      "run",
      "--detach",
      ...(options.noPivot ? ["--no-pivot"] : []),
      `--bundle=${bundle}`,
      `--pid-file=${files.pid}`,
      id,
    ],
    env: { ...options.environment },
    cwd: bundle,
    // The holder inherits these: a pipe of ours would end with us.
    stdio: ["null", "null", "null"],
    detached: true,
  });
  using limit = deadline(
    handler.createTimeoutMs,
    () =>
      new DeadlineExceededError(
        `The PID namespace of sandbox ${id} was not made within ${handler.createTimeoutMs} ms`,
        { id, remedy: "look for what the runtime waits for, or raise container_create_timeout" },
      ),
    context.signal,
  );
  const ending = await endOf(runtime, limit.signal, processes);
  const pid = readPidFile(files.pid);
  const holder = ending.exitCode === 0 && pid !== undefined ? processes.identify(pid) : undefined;
  if (holder !== undefined) return holder;
  throw new FailedPreconditionError(
    `The process that holds the pod's PID namespace could not be started: ${
      runtimeErrorText(logOf(files.log)) ||
      `the runtime ended with ${ending.exitCode ?? ending.endedBy} and said nothing`
    }`,
    { id, remedy: "see whether catatonit is a static program of this machine's kind" },
  );
}

/** Waits for the runtime; kills it when the signal fires, so that it makes nothing afterwards. */
async function endOf(
  runtime: SpawnedProcess,
  signal: AbortSignal,
  processes: ProcessTable,
): Promise<Awaited<SpawnedProcess["ended"]>> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => {
    aborted.reject(signal.reason);
    try {
      const identity = processes.identify(runtime.pid);
      if (identity !== undefined) processes.signal(identity, SIGKILL);
    } catch {
      // Descriptors are used up, and thrown from here it would end this process. The removal that
      // follows ends it by the pid file that it names.
    }
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([runtime.ended, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Ends and removes a holder that runs, has ended, is half made or is not there at all. */
async function removePidHolder(
  holder: RecordedPidHolder,
  ports: RemovalPorts,
  signal: AbortSignal,
): Promise<void> {
  const files = holderFiles(holder.bundle);
  const halfMade = readPidFile(files.pid) === undefined;
  // A runtime that an earlier life of this process left at work would make it after it was removed.
  if (halfMade) await endMakers(files.pid, ports);
  await ports.cgroups.destroy(holder.cgroupPath, CGROUP_TIMEOUT_MS);
  // runc's delete would do no more than is done here, in a process of 10 to 25 ms.
  if (halfMade || !holder.runtimePath.endsWith("/runc") || isScope(holder.cgroupPath)) {
    await ports.runtime.delete(holder, holder.id, signal);
  }
  removeFiles(holder);
}

/** Kills the runtimes that were started to make this holder: they name its pid file. */
async function endMakers(pidFile: string, ports: RemovalPorts): Promise<void> {
  // A node may have thousands of processes, and a pod that cannot start is tried again and again.
  for await (const { name } of Deno.readDir("/proc")) {
    const pid = Number(name);
    if (!(pid > 0) || !await isMaker(pid, pidFile)) continue;
    const maker = ports.processes.identify(pid);
    if (maker === undefined) continue;
    ports.processes.signal(maker, SIGKILL);
    await endedWithin(maker, RUNTIME_KILLED_TIMEOUT_MS, ports);
  }
}

async function isMaker(pid: number, pidFile: string): Promise<boolean> {
  try {
    const cmdline = await Deno.readTextFile(`/proc/${pid}/cmdline`);
    return cmdline.split("\0").includes(`--pid-file=${pidFile}`);
  } catch {
    return false; // it has ended
  }
}

function holderFiles(bundle: string): { readonly pid: string; readonly log: string } {
  return { pid: `${bundle}/pid`, log: `${bundle}/runtime.log` };
}

function removeFiles({ id, bundle, runtimeRoot }: RecordedPidHolder): void {
  for (const path of [bundle, `${runtimeRoot}/${id}`]) {
    try {
      Deno.removeSync(path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

function logOf(path: string): string {
  try {
    if (Deno.statSync(path).size > LOG_LIMIT_BYTES) return "";
    return Deno.readTextFileSync(path);
  } catch {
    return ""; // the runtime did not come as far as writing one
  }
}

function parseRecorded(payload: JsonObject): RecordedPidHolder {
  const text = (key: Exclude<keyof RecordedPidHolder, "id">): string => {
    const value = payload[key];
    if (typeof value === "string" && value.startsWith("/")) return value;
    throw new InternalError(`A recorded PID namespace holder has no path ${key}`);
  };
  return {
    id: parseSandboxId(String(payload["id"]), "id"),
    bundle: text("bundle"),
    cgroupPath: text("cgroupPath"),
    runtimePath: text("runtimePath"),
    runtimeRoot: text("runtimeRoot"),
  };
}
