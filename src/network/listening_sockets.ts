/**
 * Sockets of the host that listen, from /proc/net: who has a port that a pod asks for.
 *
 * @module
 */
import { canonicalIp } from "./host_addresses.ts";
import type { PortMapping } from "./networks.ts";

export interface ListeningSocket {
  /**
   * `0.0.0.0` for all of IPv4; empty for all, because a socket bound to `::` takes IPv4 as well unless it
   * was told not to, which cannot be seen here.
   */
  readonly address: string;
  readonly port: number;
  readonly inode: string;
}

export interface SocketHolder {
  readonly pid: number;
  readonly name: string;
}

/** What tells about the sockets of the network namespace that host ports are in. */
export interface ListeningSockets {
  /** Sockets with this port; empty for protocols that cannot be asked about. */
  withPort(protocol: PortMapping["protocol"], port: number): Promise<ListeningSocket[]>;
  /** A process that has the socket open; undefined if none can be told. */
  holderOf(socket: ListeningSocket): Promise<SocketHolder | undefined>;
}

/** States of /proc/net/tcp and /proc/net/udp: TCP_LISTEN, and TCP_CLOSE for a UDP socket without a peer. */
const LISTENING = { tcp: "0A", udp: "07" } as const;
const READ_BYTES = 64 * 1024;

export class ProcListeningSockets implements ListeningSockets {
  async withPort(
    protocol: PortMapping["protocol"],
    port: number,
  ): Promise<ListeningSocket[]> {
    if (protocol === "sctp") return [];
    const found: ListeningSocket[] = [];
    for (const file of [protocol, `${protocol}6`]) {
      for await (const line of linesOf(`/proc/net/${file}`)) {
        const entry = parseSocketLine(line);
        if (entry === undefined) continue;
        if (entry.state === LISTENING[protocol]) {
          if (entry.socket.port === port) found.push(entry.socket);
        } else if (protocol === "tcp") {
          // Listening sockets come first; a busy node has a hundred thousand others behind them.
          break;
        }
      }
    }
    return found;
  }

  async holderOf({ inode }: ListeningSocket): Promise<SocketHolder | undefined> {
    const wanted = `socket:[${inode}]`;
    for await (const { name: pid } of Deno.readDir("/proc")) {
      if (!/^[0-9]+$/.test(pid)) continue;
      try {
        for await (const { name: fd } of Deno.readDir(`/proc/${pid}/fd`)) {
          if (await Deno.readLink(`/proc/${pid}/fd/${fd}`) !== wanted) continue;
          const name = (await Deno.readTextFile(`/proc/${pid}/comm`)).trim();
          return { pid: Number(pid), name };
        }
      } catch {
        // It has ended meanwhile.
      }
    }
    return undefined;
  }
}

/** One line of /proc/net/{tcp,tcp6,udp,udp6}; undefined for the heading. */
export function parseSocketLine(
  line: string,
): { readonly socket: ListeningSocket; readonly state: string } | undefined {
  const [, local = "", , state = "", , , , , , inode] = line.trim().split(/\s+/);
  const [, address = "", port = ""] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local) ??
    [];
  if (address === "" || inode === undefined) return undefined;
  return {
    socket: { address: addressOfHex(address), port: parseInt(port, 16), inode },
    state,
  };
}

/** The kernel prints 32-bit words in the machine's order, which is little-endian on all that we run on. */
function addressOfHex(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => parseInt(byte, 16))
  );
  if (bytes.length === 4) return bytes.join(".");
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) {
    groups.push((((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  }
  const address = canonicalIp(groups.join(":"));
  return address === "::" ? "" : address;
}

async function* linesOf(path: string): AsyncIterable<string> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch {
    // A kernel without the protocol has no sockets of it.
    return;
  }
  using _ = file;
  const buffer = new Uint8Array(READ_BYTES);
  let rest = "";
  for (;;) {
    const length = await file.read(buffer);
    if (length === null) break;
    const lines = (rest + new TextDecoder("latin1").decode(buffer.subarray(0, length))).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
