/** A runtime that is measured, and what its processes have in common. @module */
import { connectCri, type CriClient } from "../tests/support/cri_client.ts";
import { endLeftovers, type NodeNames } from "../tests/support/residue.ts";

export interface Peer extends AsyncDisposable {
  readonly name: string;
  /** How it was started, for the document. */
  readonly description: string;
  readonly client: CriClient;
  /** Path of the CRI's unix socket, for clients that are programs. */
  readonly socket: string;
  /** Whether its streaming server has the WebSocket protocols of client-go. */
  readonly webSocket: boolean;
  /** Folder for the logs of pods. */
  readonly logDir: string;
  /** Every pod goes below it. */
  readonly cgroupParent: string;
  /** Of a runtime that was started here; memory and restarts can be measured. */
  readonly process?: PeerProcess;
  /** Database of its containers, where we know how to write it. */
  readonly records?: string;
}

export interface PeerProcess {
  readonly pid: number;
  /** Program name of its monitors or shims, whose memory counts. */
  readonly monitorName: string;
  /** What their command lines contain. */
  readonly mark: string;
  /** kill -9, then a new process; resolves at once, without waiting for an answer. */
  restart(): Promise<void>;
  /** An orderly end, `meanwhile`, and a new process that answers. */
  restartAfter(meanwhile: () => Promise<void>): Promise<void>;
}

/** The CNI chain of every peer: bridge with host-local addresses, then portmap. */
export async function writeCniConfig(
  folder: string,
  { bridge, subnet, leases }: {
    readonly bridge: string;
    readonly subnet: string;
    readonly leases: string;
  },
): Promise<void> {
  const ipam = {
    type: "host-local",
    dataDir: leases,
    ranges: [[{ subnet }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  await Deno.writeTextFile(
    `${folder}/10-bench.conflist`,
    JSON.stringify({
      cniVersion: "1.0.0",
      name: bridge,
      plugins: [
        { type: "bridge", bridge, isGateway: true, ipMasq: false, ipam },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
    }),
  );
}

/** A runtime that runs already, named on the command line. */
export function namedEndpoint(text: string, logDir: string): Peer {
  const at = text.indexOf("=");
  if (at < 1) throw new Error(`--endpoint ${text} is not NAME=SOCKET`);
  const socket = text.slice(at + 1).replace(/^unix:(\/\/)?/, "");
  const client = connectCri(socket);
  return {
    name: text.slice(0, at),
    description: `the runtime that answers on ${socket}`,
    client,
    socket,
    webSocket: false,
    logDir,
    cgroupParent: `/sauropod-bench-${Deno.pid}-named`,
    [Symbol.asyncDispose](): Promise<void> {
      client[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

/** Resolves once Version is answered. @throws the process ended, with the end of its log */
export async function answering(
  client: CriClient,
  process: { readonly status: Promise<unknown> },
  logPath: string,
): Promise<void> {
  let ended = false;
  void process.status.then(() => ended = true);
  for (;;) {
    try {
      await client.runtime.version({}, { timeoutMs: 1000 });
      return;
    } catch {
      if (ended) throw new Error(`it ended: ${(await Deno.readTextFile(logPath)).slice(-2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** What lies below /run on a node is in memory there. */
export async function mountTmpfs(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  const { success } = await new Deno.Command("mount", {
    args: ["-t", "tmpfs", "-o", "mode=0700", "bench", path],
  }).output();
  if (!success) throw new Error(`cannot mount a tmpfs at ${path}`);
}

/** Where libcni keeps the results of ADD for everyone. */
const CACHED_RESULTS = "/var/lib/cni/results";

/** Takes away whatever a peer left: processes, cgroups, mounts, bridge, cached results, files. */
export async function takeAway(names: NodeNames): Promise<void> {
  await endLeftovers(names);
  for (const { name } of entriesOf(CACHED_RESULTS)) {
    if (name.startsWith(`${names.bridge}-`)) await Deno.remove(`${CACHED_RESULTS}/${name}`);
  }
  await Deno.remove(names.directory, { recursive: true });
}

function entriesOf(folder: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(folder)];
  } catch {
    return [];
  }
}
