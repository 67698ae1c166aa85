/**
 * TCP connections made inside another network namespace, on this process's event loop: the namespace's
 * thread only makes the socket, which stays in the namespace wherever it is used.
 *
 * @module
 */
import { isErrno } from "../errors/mod.ts";
import type { ByteDescriptor, ByteDescriptors } from "./byte_descriptors.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  TCP_NODELAY,
} from "./constants.ts";
import type { Fd, Kernel } from "./kernel.ts";
import type { NamespaceSockets } from "./namespaces.ts";

export interface TcpAddress {
  /** Pin of a network namespace; undefined for that of this process. */
  readonly netnsPath: string | undefined;
  /** IPv4 or IPv6. */
  readonly address: string;
  readonly port: number;
}

export interface TcpConnector {
  /**
   * A connection whose halves end one by one, and which sends what it has at once. The caller closes it.
   *
   * @throws {SyscallError} the kernel's reason, such as ECONNREFUSED
   * @throws the reason of `signal`, once it has fired
   */
  connect(to: TcpAddress, signal: AbortSignal): Promise<ByteDescriptor>;
}

export interface TcpConnectionsOptions {
  readonly kernel: Kernel;
  readonly sockets: NamespaceSockets;
  readonly descriptors: ByteDescriptors;
}

export class TcpConnections implements TcpConnector {
  readonly #options: TcpConnectionsOptions;

  constructor(options: TcpConnectionsOptions) {
    this.#options = options;
  }

  async connect(to: TcpAddress, signal: AbortSignal): Promise<ByteDescriptor> {
    using undo = new DisposableStack();
    const fd = undo.use(await this.#socket(to, signal));
    // A request that comes in two pieces would wait for the first one's delayed acknowledgement, 40 ms.
    this.#options.kernel.setSocketOption(fd.number, IPPROTO_TCP, TCP_NODELAY, 1);
    const connection = undo.use(this.#options.descriptors.open(fd));
    const aborted = () => connection.close();
    signal.addEventListener("abort", aborted, { once: true });
    try {
      this.#options.kernel.connectTcp(fd.number, to.address, to.port);
      // Asked again the kernel tells how it went; on a loopback it often knows at once.
      while (!this.#isConnected(fd, to)) {
        await connection.writable();
        signal.throwIfAborted();
      }
    } finally {
      signal.removeEventListener("abort", aborted);
    }
    undo.move();
    return connection;
  }

  async #socket({ netnsPath, address }: TcpAddress, signal: AbortSignal): Promise<Fd> {
    signal.throwIfAborted();
    const { kernel, sockets } = this.#options;
    const domain = address.includes(":") ? AF_INET6 : AF_INET;
    if (netnsPath === undefined) return kernel.socket(domain, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const { promise: over, reject } = Promise.withResolvers<never>();
    const aborted = () => reject(signal.reason);
    signal.addEventListener("abort", aborted, { once: true });
    const made = sockets.socket({ netnsPath, domain });
    try {
      return await Promise.race([made, over]);
    } catch (error) {
      // Others may be before it, and it may come yet.
      made.then((fd) => fd.close(), () => {});
      throw error;
    } finally {
      signal.removeEventListener("abort", aborted);
    }
  }

  /** False while it is under way. @throws {SyscallError} it failed */
  #isConnected(fd: Fd, { address, port }: TcpAddress): boolean {
    try {
      this.#options.kernel.connectTcp(fd.number, address, port);
      return true;
    } catch (error) {
      if (isErrno(error, "EISCONN")) return true;
      if (isErrno(error, "EALREADY")) return false;
      throw error;
    }
  }
}
