/** Sockets. @module */
import { InvalidArgumentError, shown } from "../../errors/mod.ts";
import { cPath, encodePath } from "../bytes_path.ts";
import { AF_UNIX, O_CLOEXEC, O_DIRECTORY, O_PATH } from "../constants.ts";
import type { Fd, SocketCalls } from "../kernel.ts";
import { type Bytes, type Calls, descriptor } from "./calls.ts";
import {
  decodePort,
  DescriptorMessage,
  encodeSocketAddress,
  SOCKET_ADDRESS_MAX,
} from "./structs.ts";

const SOCK_CLOEXEC = O_CLOEXEC;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SHUT_WR = 1;
const SUN_PATH_MAX = 107;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

export function socketCalls(calls: Calls): SocketCalls {
  return {
    socketpair(domain, type) {
      const out = new Int32Array(2);
      calls.check(
        "socketpair",
        () => `domain ${domain}`,
        (c) => c.socketpair(domain, type | SOCK_CLOEXEC, 0, out),
      );
      const [a, b] = out;
      return { a: calls.own(a!), b: calls.own(b!) };
    },

    socket(domain, type, protocol) {
      return calls.fd(
        "socket",
        () => `domain ${domain}`,
        (c) => c.socket(domain, type | SOCK_CLOEXEC, protocol),
      );
    },

    connectUnix(fd, path) {
      connectUnix(calls, fd, path);
    },

    connectTcp(fd, address, port) {
      const bytes = encodeSocketAddress(address, port);
      try {
        calls.check(
          "connect",
          () => `${address} port ${port}`,
          (c) => c.connect(fd, bytes, bytes.length),
        );
      } catch (error) {
        if ((error as { code?: string }).code !== "EINPROGRESS") throw error;
      }
    },

    shutdownWriting(fd) {
      calls.check("shutdown", () => descriptor(fd), (c) => c.shutdown(fd, SHUT_WR));
    },

    bindUnix(fd, path) {
      const address = unixAddress(path);
      calls.check("bind", () => shown(path), (c) => c.bind(fd, address, address.length));
    },

    bindTcp(fd, address, port) {
      const bytes = encodeSocketAddress(address, port);
      const what = () => `${address} port ${port}`;
      calls.check("bind", what, (c) => c.bind(fd, bytes, bytes.length));
    },

    boundPort(fd) {
      const bytes = new Uint8Array(SOCKET_ADDRESS_MAX);
      const length = new Uint32Array([bytes.length]);
      calls.check("getsockname", () => descriptor(fd), (c) => c.getsockname(fd, bytes, length));
      return decodePort(bytes);
    },

    setSocketOption(fd, level, option, value) {
      const bytes = new Int32Array([value]);
      calls.check(
        "setsockopt",
        () => `${descriptor(fd)}, level ${level}, option ${option}`,
        (c) => c.setsockopt(fd, level, option, bytes, bytes.byteLength),
      );
    },

    listen(fd, backlog) {
      calls.check("listen", () => descriptor(fd), (c) => c.listen(fd, backlog));
    },

    accept(fd) {
      return calls.fd(
        "accept4",
        () => descriptor(fd),
        (c) => c.accept4(fd, null, null, SOCK_CLOEXEC),
      );
    },

    receiveDescriptor(fd) {
      const message = new DescriptorMessage();
      calls.check(
        "recvmsg",
        () => descriptor(fd),
        (c) => c.recvmsg(fd, message.header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT),
      );
      const received = message.descriptor();
      return received === undefined ? undefined : calls.own(received);
    },

    peerCredentials(fd) {
      const out = new Int32Array(3);
      const length = new Uint32Array([12]);
      calls.check(
        "getsockopt",
        () => descriptor(fd),
        (c) => c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, out, length),
      );
      const [pid = 0, uid = 0, gid = 0] = out;
      return { pid, uid: uid >>> 0, gid: gid >>> 0 };
    },
  };
}

function connectUnix(calls: Calls, fd: number, path: string): void {
  const bytes = encodePath(path);
  // The length counts in an abstract name: NULs after it would be part of it.
  if (path.startsWith("\0")) {
    if (bytes.length > SUN_PATH_MAX + 1) {
      throw new InvalidArgumentError(`Socket name ${shown(path)} is too long`, { path });
    }
    const address = new Uint8Array(2 + bytes.length);
    new DataView(address.buffer).setUint16(0, AF_UNIX, true);
    address.set(bytes, 2);
    calls.check("connect", () => shown(path), (c) => c.connect(fd, address, address.length));
    return;
  }
  if (bytes.length > SUN_PATH_MAX) {
    const at = path.lastIndexOf("/");
    using directory = openDirectory(calls, path.slice(0, at + 1) || ".");
    const short = `/proc/self/fd/${directory.number}/${path.slice(at + 1)}`;
    if (encodePath(short).length > SUN_PATH_MAX) {
      throw new InvalidArgumentError(`Socket name of ${shown(path)} is too long`, { path });
    }
    connectUnix(calls, fd, short);
    return;
  }
  const address = unixAddress(path);
  calls.check("connect", () => shown(path), (c) => c.connect(fd, address, address.length));
}

function openDirectory(calls: Calls, path: string): Fd {
  const name = cPath(path);
  const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  return calls.fd("open", () => shown(path), (c) => c.open(name, flags, 0));
}

/** `sockaddr_un` of a path. @throws {InvalidArgumentError} it is too long */
function unixAddress(path: string): Bytes {
  const name = cPath(path);
  if (name.length > SUN_PATH_MAX + 1) {
    throw new InvalidArgumentError(`Socket name ${shown(path)} is too long`, { path });
  }
  const address = new Uint8Array(2 + SUN_PATH_MAX + 1);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}
