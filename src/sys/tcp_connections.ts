/**
 * TCP connections made inside another network namespace, on this process's event loop: the namespace's
 * thread only makes the socket, which stays in the namespace wherever it is used.
 *
 * @module
 */
import type { Socket } from "node:net";
import { isErrno } from "../errors/mod.ts";
import { type EventPoll, openEventPoll } from "./_event_poll.ts";
import { adoptTcp } from "./adopted.ts";
import {
  AF_INET,
  AF_INET6,
  EPOLLONESHOT,
  EPOLLOUT,
  SOCK_NONBLOCK,
  SOCK_STREAM,
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
   * A connection whose halves end one by one. The caller destroys the socket.
   *
   * @throws {SyscallError} the kernel's reason, such as ECONNREFUSED
   * @throws the reason of `signal`, once it has fired
   */
  connect(to: TcpAddress, signal: AbortSignal): Promise<Socket>;
}

export interface TcpConnectionsOptions {
  readonly kernel: Kernel;
  readonly sockets: NamespaceSockets;
}

export class TcpConnections implements TcpConnector, Disposable {
  readonly #options: TcpConnectionsOptions;
  readonly #poll: EventPoll;
  /** By key of the poll: sockets whose connection is neither made nor refused. */
  readonly #connecting = new Map<bigint, () => void>();
  #lastKey = 0n;

  constructor(options: TcpConnectionsOptions) {
    this.#options = options;
    this.#poll = openEventPoll({
      kernel: options.kernel,
      onEvents: (events) => {
        for (const { data } of events) this.#connecting.get(data)?.();
      },
    });
  }

  async connect(to: TcpAddress, signal: AbortSignal): Promise<Socket> {
    const { address, port } = to;
    using fd = await this.#socket(to);
    signal.throwIfAborted();
    this.#options.kernel.connectTcp(fd.number, address, port);
    // Asked a second time the kernel tells how it went; on a loopback it often knows at once.
    if (!this.#isConnected(fd, to)) {
      await this.#settled(fd, signal);
      this.#isConnected(fd, to);
    }
    return adoptTcp(fd);
  }

  [Symbol.dispose](): void {
    this.#poll[Symbol.dispose]();
  }

  async #socket({ netnsPath, address }: TcpAddress): Promise<Fd> {
    const { kernel, sockets } = this.#options;
    const domain = address.includes(":") ? AF_INET6 : AF_INET;
    return netnsPath === undefined
      ? kernel.socket(domain, SOCK_STREAM | SOCK_NONBLOCK, 0)
      : await sockets.socket({ netnsPath, domain });
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

  /** Resolves when the connection is made or refused. */
  async #settled(fd: Fd, signal: AbortSignal): Promise<void> {
    const key = ++this.#lastKey;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const aborted = () => reject(signal.reason);
    signal.addEventListener("abort", aborted, { once: true });
    this.#connecting.set(key, resolve);
    this.#poll.keepAlive(true);
    try {
      this.#poll.add(fd.number, key, EPOLLOUT | EPOLLONESHOT);
      await promise;
    } finally {
      signal.removeEventListener("abort", aborted);
      this.#connecting.delete(key);
      this.#poll.remove(fd.number);
      if (this.#connecting.size === 0) this.#poll.keepAlive(false);
    }
  }
}
