/**
 * Where an OCI runtime delivers the master side of a terminal that it made (`--console-socket`).
 *
 * @module
 */
import { AF_UNIX, O_DIRECTORY, O_PATH, SOCK_NONBLOCK, SOCK_STREAM } from "./constants.ts";
import { isErrno } from "../errors/mod.ts";
import { encodePath } from "./bytes_path.ts";
import type { Fd, Kernel } from "./kernel.ts";

/** `sun_path` of `sockaddr_un` without its final NUL. */
const SOCKET_PATH_BYTES = 107;

/** Listens from the start; disposing closes the socket and removes its file. */
export class ConsoleSocket implements Disposable {
  /** For the runtime. */
  readonly path: string;
  readonly #kernel: Kernel;
  readonly #owned: DisposableStack;
  readonly #listener: Fd;

  /** @param path of the socket's file, which must not exist */
  constructor(kernel: Kernel, path: string) {
    using owned = new DisposableStack();
    this.#kernel = kernel;
    this.path = encodePath(path).length <= SOCKET_PATH_BYTES
      ? path
      : shortened(kernel, path, owned);
    this.#listener = owned.use(kernel.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    kernel.bindUnix(this.#listener.number, this.path);
    owned.defer(() => removeIfThere(path));
    kernel.listen(this.#listener.number, 1);
    this.#owned = owned.move();
  }

  /** The terminal's master, which is there once the runtime has ended well; undefined if none was sent. */
  take(): Fd | undefined {
    try {
      using connection = this.#kernel.accept(this.#listener.number);
      return this.#kernel.receiveDescriptor(connection.number);
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

/** The same place by a descriptor of this process, which other processes can follow, too. */
function shortened(kernel: Kernel, path: string, owned: DisposableStack): string {
  const slash = path.lastIndexOf("/");
  const directory = owned.use(kernel.open(path.slice(0, slash), O_PATH | O_DIRECTORY));
  return `/proc/${kernel.getpid()}/fd/${directory.number}/${path.slice(slash + 1)}`;
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
