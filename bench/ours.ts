/** Our server as a peer. @module */
import { RunningServer, serverCommand, TestNode } from "../tests/support/test_node.ts";
import { connectCri } from "../tests/support/cri_client.ts";
import { mountTmpfs, type Peer, type PeerProcess, writeCniConfig } from "./peer.ts";

const TOP = new URL("../", import.meta.url).pathname;

/** Starts the executable that SAUROPOD_BINARY names, else the source with the flags that the build uses. */
export async function startOurs(registry: string): Promise<Peer> {
  const node = await TestNode.make({ insecureRegistries: [registry] });
  await Deno.remove(`${node.directory}/cni/10-test.conflist`);
  await writeCniConfig(`${node.directory}/cni`, {
    bridge: node.bridge,
    subnet: `10.${192 + Deno.pid % 64}.0.0/16`,
    leases: node.leases,
  });
  for (const folder of ["run", "namespaces", "exits", "attach"]) {
    await mountTmpfs(`${node.directory}/${folder}`);
  }
  const env = { DENO_V8_FLAGS: await v8Flags() };
  let server: RunningServer;
  try {
    server = await node.start({ env });
  } catch (error) {
    await node[Symbol.asyncDispose]();
    throw error;
  }
  // Outlives the server's restarts, as the kubelet's does.
  const client = connectCri(node.socket);
  const process: PeerProcess = {
    get pid() {
      return server.pid;
    },
    monitorName: "conmon",
    mark: node.directory,
    async restart() {
      await server.kill();
      server = RunningServer.spawn(node, { env });
    },
    async restartAfter(meanwhile) {
      await server.stop();
      await meanwhile();
      server = await node.start({ env });
    },
  };
  const [program, args] = serverCommand();
  return {
    name: "sauropod",
    description: args.length === 0 ? program : `from source, with ${env.DENO_V8_FLAGS}`,
    client,
    socket: node.socket,
    webSocket: true,
    logDir: node.logDir,
    cgroupParent: node.cgroupParent,
    process,
    records: `${node.root}/pods.db`,
    async [Symbol.asyncDispose](): Promise<void> {
      client[Symbol.dispose]();
      await server.stop();
      await node[Symbol.asyncDispose]();
    },
  };
}

async function v8Flags(): Promise<string> {
  const text = await Deno.readTextFile(`${TOP}scripts/build.ts`);
  const flags = /V8_FLAGS = "([^"]+)"/.exec(text)?.[1];
  if (flags === undefined) throw new Error("scripts/build.ts names no V8 flags");
  return flags;
}
