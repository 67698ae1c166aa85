/**
 * Debian's containerd as a peer to measure against: a process of its own with its own root, state,
 * socket, bridge and CNI configuration.
 *
 * @module
 */
import { connectCri } from "../tests/support/cri_client.ts";
import {
  answering,
  mountTmpfs,
  type Peer,
  type PeerProcess,
  takeAway,
  writeCniConfig,
} from "./peer.ts";

/**
 * Starts containerd; it answers when this returns.
 *
 * @throws it is not installed, or does not start: nothing of it is left then
 */
export async function startContainerd(pauseImage: string): Promise<Peer> {
  // Before anything is made that would have to be taken away.
  const description = await version();
  const directory = await Deno.makeTempDir({ prefix: "sauropod-bench-containerd-" });
  const tag = Deno.pid.toString(36);
  const names = {
    directory,
    root: `${directory}/root`,
    bridge: `srbc${tag}`,
    cgroupParent: `/sauropod-bench-containerd-${tag}`,
    leases: `${directory}/leases`,
  };
  const socket = `${directory}/containerd.sock`;
  const logPath = `${directory}/log`;
  for (const folder of ["cni", "logs"]) await Deno.mkdir(`${directory}/${folder}`);
  await mountTmpfs(`${directory}/state`);
  await writeCniConfig(`${directory}/cni`, {
    bridge: names.bridge,
    subnet: `10.${128 + Deno.pid % 64}.0.0/16`,
    leases: names.leases,
  });
  await Deno.writeTextFile(`${directory}/config.toml`, configuration(directory, pauseImage));
  const spawn = () =>
    new Deno.Command("/bin/sh", {
      args: [
        "-c",
        'exec containerd --config "$1" >>"$2" 2>&1',
        "sh",
        `${directory}/config.toml`,
        logPath,
      ],
      stdin: "null",
    }).spawn();
  let child = spawn();
  const client = connectCri(socket);
  const end = async (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // It has ended already.
    }
    await child.status;
  };
  const process: PeerProcess = {
    get pid() {
      return child.pid;
    },
    monitorName: "containerd-shim-runc-v2",
    mark: directory,
    async restart() {
      await end("SIGKILL");
      child = spawn();
    },
    async restartAfter(meanwhile) {
      await end("SIGTERM");
      await meanwhile();
      child = spawn();
      await answering(client, child, logPath);
    },
  };
  const peer: Peer = {
    name: "containerd",
    description,
    client,
    socket,
    // 1.6 is older than version 5 of the channels and than the tunnelled port-forward.
    webSocket: false,
    logDir: `${directory}/logs`,
    cgroupParent: names.cgroupParent,
    process,
    async [Symbol.asyncDispose](): Promise<void> {
      client[Symbol.dispose]();
      await end("SIGTERM");
      await takeAway(names);
    },
  };
  try {
    await answering(client, child, logPath);
  } catch (error) {
    await peer[Symbol.asyncDispose]();
    throw new Error("containerd does not start", { cause: error });
  }
  return peer;
}

/** Like Debian's default, but for what this node cannot give. */
function configuration(directory: string, pauseImage: string): string {
  const disabled = ["btrfs", "zfs", "devmapper", "aufs"].map((name) =>
    `"io.containerd.snapshotter.v1.${name}"`
  );
  return `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp", ${
    disabled.join(", ")
  }]
[grpc]
  address = "${directory}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${directory}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`;
}

async function version(): Promise<string> {
  const { stdout } = await new Deno.Command("containerd", { args: ["--version"] }).output()
    .catch((cause) => {
      throw new Error("containerd is not installed; leave its peer out, or install it", { cause });
    });
  return new TextDecoder().decode(stdout).trim();
}
