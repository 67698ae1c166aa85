/**
 * conmon's command line and environment. Pure: the contract with the monitor in one place.
 *
 * @module
 */
import { isScope } from "../model/mod.ts";
import type { ContainerPlace, CreateOptions } from "./containers_runtime.ts";
import type { RuntimeHandler, RuntimeOptions } from "./handlers.ts";

/** Descriptors of the monitor: on `sync` it reports, from `start` it reads when to begin. */
export const SYNC_DESCRIPTOR = 3;
export const START_DESCRIPTOR = 4;
/** An exec's output comes through here instead of a log file. */
export const EXEC_OUTPUT_DESCRIPTOR = 5;

/** `sun_path` of `sockaddr_un` without its final NUL. */
const SOCKET_PATH_BYTES = 107;

/** Files that the monitor of a container makes in its bundle. */
export function monitorFiles(bundle: string): {
  readonly monitorPidFile: string;
  readonly initPidFile: string;
  readonly control: string;
  readonly windowSize: string;
  readonly attach: string;
  readonly oom: string;
} {
  return {
    monitorPidFile: `${bundle}/conmon-pidfile`,
    initPidFile: `${bundle}/pidfile`,
    control: `${bundle}/ctl`,
    windowSize: `${bundle}/winsz`,
    attach: `${bundle}/attach`,
    oom: `${bundle}/oom`,
  };
}

export function createArguments(
  { place, name, terminal, stdin, stdinOnce }: CreateOptions,
  handler: RuntimeHandler,
  options: RuntimeOptions,
): string[] {
  const files = monitorFiles(place.bundle);
  return [
    ...["--bundle", place.bundle],
    ...["--cid", place.id],
    ...["--cuuid", place.id],
    ...["--name", name],
    // No --persist-dir: on a full disk conmon would fail there first and write no exit code at all.
    ...["--exit-dir", options.exitsDir],
    // The driver is named because conmon takes what stands before a colon in the path for one.
    ...["--log-path", `k8s-file:${place.logPath}`],
    ...["--log-level", options.logLevel],
    "--syslog",
    ...["--conmon-pidfile", files.monitorPidFile],
    ...["--container-pidfile", files.initPidFile],
    ...attachArguments(place, options),
    ...(options.logSizeMaxBytes >= 0 ? ["--log-size-max", String(options.logSizeMaxBytes)] : []),
    ...(handler.noSyncLog ? ["--no-sync-log"] : []),
    ...(options.noPivot ? ["--no-pivot"] : []),
    ...stdinArguments({ terminal, stdin, stdinOnce }),
    ...runtimeArguments(handler, place),
  ];
}

/** conmon binds `<dir>/<id>/attach` through a link to the bundle, unless that is too long for a socket. */
function attachArguments(place: ContainerPlace, { attachSocketDir }: RuntimeOptions): string[] {
  const path = `${attachSocketDir}/${place.id}/attach`;
  return new TextEncoder().encode(path).length <= SOCKET_PATH_BYTES
    ? ["--socket-dir-path", attachSocketDir]
    : ["--full-attach"];
}

function stdinArguments(
  { terminal, stdin, stdinOnce }: Pick<CreateOptions, "terminal" | "stdin" | "stdinOnce">,
): string[] {
  if (terminal) return ["--terminal"];
  if (!stdin) return [];
  return stdinOnce ? ["--stdin"] : ["--stdin", "--leave-stdin-open"];
}

function runtimeArguments(handler: RuntimeHandler, { cgroupPath }: ContainerPlace): string[] {
  return [
    ...["--runtime", handler.runtimePath, "--runtime-arg", `--root=${handler.runtimeRoot}`],
    ...(isScope(cgroupPath) ? ["--systemd-cgroup"] : []),
  ];
}

export interface ExecArguments {
  readonly place: ContainerPlace;
  readonly name: string;
  readonly handler: RuntimeHandler;
  readonly options: RuntimeOptions;
  readonly processFile: string;
  readonly pidFile: string;
  /** The runtime's own name for the cgroup below the container's: `freezer:NAME` or `NAME`. */
  readonly subCgroup: string | undefined;
  /** After this many bytes of log format the monitor drops output on its own. */
  readonly logLimitBytes: number;
}

export function execArguments(exec: ExecArguments): string[] {
  return [
    "--exec",
    // One fork less, and the monitor stays our child.
    "--sync",
    ...["--cid", exec.place.id],
    ...["--name", exec.name],
    ...["--log-path", `k8s-file:/proc/self/fd/${EXEC_OUTPUT_DESCRIPTOR}`],
    ...["--log-global-size-max", String(exec.logLimitBytes)],
    "--no-sync-log",
    ...["--log-level", exec.options.logLevel],
    ...["--container-pidfile", exec.pidFile],
    ...["--exec-process-spec", exec.processFile],
    ...(exec.subCgroup === undefined
      ? []
      : ["--runtime-opt", "--cgroup", "--runtime-opt", exec.subCgroup]),
    ...runtimeArguments(exec.handler, exec.place),
  ];
}

/** The whole environment of a monitor and of the runtime below it. */
export function monitorEnvironment(
  handler: RuntimeHandler,
  { environment }: RuntimeOptions,
): Record<string, string> {
  const configured = Object.fromEntries(handler.monitorEnv.map((entry) => {
    const at = entry.indexOf("=");
    return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
  }));
  return {
    // Without it conmon refuses arguments, such as the path of a log, that are not all ASCII.
    LC_CTYPE: "C.UTF-8",
    ...environment,
    ...configured,
    CRI_O_EXTERNAL: "1",
    _OCI_SYNCPIPE: String(SYNC_DESCRIPTOR),
    _OCI_STARTPIPE: String(START_DESCRIPTOR),
  };
}
