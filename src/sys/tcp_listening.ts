/** TCP sockets that listen. @module */
import { isIP } from "node:net";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  TCP_NODELAY,
} from "./constants.ts";
import type { Fd, Kernel } from "./kernel.ts";

/** When a peer that says nothing counts as lost: after `idleSeconds` and all probes without an answer. */
export interface KeepAlive {
  /** Of silence before the first probe. */
  readonly idleSeconds: number;
  readonly intervalSeconds: number;
  readonly probes: number;
}

export interface TcpListening {
  /** IPv4 or IPv6; `::` takes clients of both families. */
  readonly address: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Of the connections. */
  readonly keepAlive: KeepAlive;
}

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_KEEPALIVE = 9;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
/** Clients that may wait for their turn; the kernel takes `net.core.somaxconn` at most. */
const BACKLOG = 1_024;

/**
 * A non-blocking socket that listens, and its port. Connections send what they have at once, and ask
 * silent peers whether they are still there: they inherit both from it.
 *
 * @throws {SyscallError} such as EADDRINUSE, or EADDRNOTAVAIL for an address that is not the host's
 */
export function listenTcp(
  kernel: Kernel,
  { address, port, keepAlive }: TcpListening,
): { readonly socket: Fd; readonly port: number } {
  using undo = new DisposableStack();
  const isIPv6 = isIP(address) === 6;
  const domain = isIPv6 ? AF_INET6 : AF_INET;
  const socket = undo.use(kernel.socket(domain, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const set = (level: number, option: number, value: number) =>
    kernel.setSocketOption(socket.number, level, option, value);
  // Connections of a predecessor may still be in TIME_WAIT.
  set(SOL_SOCKET, SO_REUSEADDR, 1);
  if (isIPv6) set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, keepAlive.idleSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, keepAlive.intervalSeconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, keepAlive.probes);
  kernel.bindTcp(socket.number, address, port);
  kernel.listen(socket.number, BACKLOG);
  undo.move();
  return { socket, port: kernel.boundPort(socket.number) };
}
