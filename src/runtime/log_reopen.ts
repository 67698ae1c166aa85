/**
 * Making a monitor write to the file that is now at the log path.
 *
 * conmon 2.1 makes a new file beside the path and renames it onto it at every reopen: what stood at
 * the path is lost. So a reopen is asked for only if the path is not the file the monitor holds.
 *
 * @module
 */
import { FailedPreconditionError, isErrno, UnavailableError } from "../errors/mod.ts";
import { AT_FDCWD, O_NONBLOCK, O_WRONLY } from "../sys/mod.ts";
import type { Kernel } from "../sys/kernel.ts";
import type {
  FileWatcher,
  ProcessIdentity,
  ProcessTable,
  ProcessWatcher,
} from "../sys/watching.ts";
import { monitorFiles } from "./conmon_arguments.ts";
import type { ContainerPlace } from "./containers_runtime.ts";

export interface LogReopenPorts {
  readonly kernel: Kernel;
  readonly files: FileWatcher;
  readonly processes: ProcessTable;
  readonly processWatcher: ProcessWatcher;
}

const REOPEN_TIMEOUT_MS = 10_000;
const REOPEN_LINE = new TextEncoder().encode("2 0 0\n");

/**
 * Returns when the monitor holds the file at the log path.
 *
 * @throws {FailedPreconditionError} the monitor is gone
 * @throws {UnavailableError} the monitor did not react in time; the log may be reopened later still
 */
export async function reopenLog(
  place: ContainerPlace,
  monitor: ProcessIdentity,
  ports: LogReopenPorts,
): Promise<void> {
  const { files, processes, processWatcher } = ports;
  const held = () => holdsLog(place, monitor, ports);
  if (!processes.isAlive(monitor)) throw monitorGone(place);
  if (held()) return;

  const { promise: reopened, resolve, reject } = Promise.withResolvers<boolean>();
  const slash = place.logPath.lastIndexOf("/");
  using _watch = files.watchDirectory(place.logPath.slice(0, slash), (event) => {
    const ours = event.kind === "rescan" || event.name === place.logPath.slice(slash + 1);
    if (ours && held()) resolve(true);
  });
  using _end = processWatcher.watchExit(monitor, () => {
    // It may have made the new file as the last thing it did.
    if (fileAt(ports.kernel, place.logPath) !== undefined) resolve(true);
    else reject(monitorGone(place));
  });
  const timer = setTimeout(() => resolve(held()), REOPEN_TIMEOUT_MS);
  try {
    sendReopen(place, ports.kernel);
    if (!await reopened) {
      throw new UnavailableError(
        `The monitor of container ${place.id} did not reopen its log within ${REOPEN_TIMEOUT_MS} ms`,
        { id: place.id, path: place.logPath },
      );
    }
  } finally {
    clearTimeout(timer);
  }
}

/** True if one of the monitor's descriptors is the file at the log path. */
function holdsLog(
  { logPath }: ContainerPlace,
  monitor: ProcessIdentity,
  { kernel }: LogReopenPorts,
): boolean {
  const target = fileAt(kernel, logPath);
  if (target === undefined) return false;
  const directory = `/proc/${monitor.pid}/fd`;
  try {
    for (const { name } of Deno.readDirSync(directory)) {
      if (fileAt(kernel, `${directory}/${name}`) === target) return true;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // the monitor has just ended
  }
  return false;
}

/** Device and inode of a regular file. */
function fileAt(kernel: Kernel, path: string): string | undefined {
  try {
    const { type, deviceMajor, deviceMinor, inode } = kernel.statx(AT_FDCWD, path, 0);
    return type === "file" ? `${deviceMajor}:${deviceMinor}:${inode}` : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function sendReopen(place: ContainerPlace, kernel: Kernel): void {
  try {
    using control = kernel.open(monitorFiles(place.bundle).control, O_WRONLY | O_NONBLOCK);
    kernel.write(control.number, REOPEN_LINE);
  } catch (error) {
    if (isErrno(error, "ENXIO", "ENOENT", "EPIPE")) throw monitorGone(place);
    throw error;
  }
}

function monitorGone({ id }: ContainerPlace): FailedPreconditionError {
  return new FailedPreconditionError(
    `The log of container ${id} cannot be reopened, because its monitor is gone`,
    { id, remedy: "the container runs on without a log; restart it" },
  );
}
