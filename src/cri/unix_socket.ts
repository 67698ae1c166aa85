/**
 * Takes a path for a unix socket, from a dead predecessor if need be, and listens there.
 *
 * @module
 */
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";
import {
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  shown,
  UnavailableError,
} from "../errors/mod.ts";
import { AF_UNIX, type Fd, type Kernel, SOCK_NONBLOCK, SOCK_STREAM } from "../sys/mod.ts";

/** `sun_path` of unix(7) without its final NUL. */
const SOCKET_PATH_LIMIT_BYTES = 107;
const DIRECTORY_MODE = 0o700;
const SOCKET_MODE = 0o660;
/** A server that accepts answers within microseconds; one that is stopped still fills its backlog. */
const ANSWER_TIMEOUT_MS = 2_000;

/** Clients that may wait for their turn; the kernel takes `net.core.somaxconn` at most. */
const BACKLOG = 1_024;

/** A path that is listened on. Disposing removes it if it is still this one's; the socket stays open. */
export interface ListeningPath extends AsyncDisposable {
  readonly path: string;
  /** Non-blocking; the caller's. */
  readonly socket: Fd;
}

/**
 * Listens at `path`: missing directories with mode 0700, the socket with 0660. Nobody can connect
 * before the mode is right, and there is no moment without a socket at the path.
 *
 * @throws {InvalidArgumentError} the path is relative or too long for a socket
 * @throws {FailedPreconditionError} another server answers there, or something else than a socket
 *   stands there
 * @throws {UnavailableError} the directory or the socket could not be made
 */
export async function listenAt(kernel: Kernel, path: string): Promise<ListeningPath> {
  checkPath(path);
  const directory = dirname(path);
  try {
    await Deno.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
    // Two that start at once would both find the old socket dead, so one waits for the other.
    using lock = await Deno.open(directory);
    await lock.lock(true);
    await refuseLiving(path);
    return await bind(kernel, path, directory);
  } catch (error) {
    if (error instanceof FailedPreconditionError) throw error;
    throw new UnavailableError(`Could not listen at ${path}: ${errorMessage(error)}`, {
      field: "listen",
      path,
      cause: error,
      remedy: "check the directory, its permissions and the free space",
    });
  }
}

/** The path of a socket given as a path or as `unix:///path`. */
export function socketPath(endpoint: string): string {
  return endpoint.startsWith("unix://") ? endpoint.slice("unix://".length) : endpoint;
}

function checkPath(path: string): void {
  const bytes = new TextEncoder().encode(path).length;
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new InvalidArgumentError(
      `Could not listen at ${shown(path)}: it is not an absolute path`,
      {
        field: "listen",
        value: path,
        remedy: "give the path of a unix socket, such as /run/sauropod/sauropod.sock",
      },
    );
  }
  if (bytes > SOCKET_PATH_LIMIT_BYTES) {
    throw new InvalidArgumentError(
      `Could not listen at ${
        shown(path)
      }: it has ${bytes} bytes, and a unix socket's path at most ` +
        `${SOCKET_PATH_LIMIT_BYTES}`,
      { field: "listen", value: path, remedy: "give a shorter path" },
    );
  }
}

/** Bound in a directory that only we can enter, and moved to its place when its mode is right. */
async function bind(kernel: Kernel, path: string, directory: string): Promise<ListeningPath> {
  // Short, so that a path that fits a socket's address fits it here too.
  const nursery = `${directory}/.${crypto.randomUUID().slice(0, 5)}`;
  await Deno.mkdir(nursery, { mode: DIRECTORY_MODE });
  using undo = new DisposableStack();
  try {
    const newborn = `${nursery}/s`;
    const socket = undo.use(kernel.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    kernel.bindUnix(socket.number, newborn);
    await Deno.chmod(newborn, SOCKET_MODE);
    const { ino } = await Deno.lstat(newborn);
    kernel.listen(socket.number, BACKLOG);
    await Deno.rename(newborn, path);
    undo.move();
    return { path, socket, [Symbol.asyncDispose]: () => removeOurs(path, ino) };
  } finally {
    await Deno.remove(nursery, { recursive: true });
  }
}

async function refuseLiving(path: string): Promise<void> {
  const found = await lstat(path);
  if (found === undefined) return;
  if (!found.isSocket) {
    throw new FailedPreconditionError(
      `Could not listen at ${path}: a file that is no socket is there`,
      {
        field: "listen",
        path,
        remedy: "remove the file or listen elsewhere",
      },
    );
  }
  const reply = await tryConnect(path);
  if (reply === "answered") {
    throw new FailedPreconditionError(`Could not listen at ${path}: another server answers there`, {
      field: "listen",
      path,
      remedy: "stop the other server or listen elsewhere",
    });
  }
}

/** Only a refused connection proves that no process holds the socket. */
function tryConnect(path: string): Promise<"answered" | "dead"> {
  return new Promise((resolve) => {
    const socket: Socket = connect(path);
    const end = (reply: "answered" | "dead") => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reply);
    };
    const timer = setTimeout(() => end("answered"), ANSWER_TIMEOUT_MS);
    socket.once("connect", () => end("answered"));
    socket.once("error", (error: Error & { code?: string }) => {
      end(error.code === "ECONNREFUSED" || error.code === "ENOENT" ? "dead" : "answered");
    });
  });
}

async function lstat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** A successor may stand at the path by now; that one stays. */
async function removeOurs(path: string, ino: number | null): Promise<void> {
  const found = await lstat(path);
  if (found === undefined || found.ino !== ino) return;
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
