/**
 * Debian's containerd as a peer to measure against: a process of its own with its own root, state,
 * socket, bridge and CNI configuration.
 *
 * @module
 */
import { cniConfig, ended } from "./peer.ts";
import type { Peer, PeerOptions } from "./peer.ts";

/** Starts containerd; its socket answers when this returns. */
export async function startContainerd(options: PeerOptions): Promise<Peer> {
  const directory = await Deno.makeTempDir({ prefix: "sauropod-bench-containerd-" });
  const socket = `${directory}/containerd.sock`;
  await Deno.mkdir(`${directory}/cni`);
  await cniConfig(`${directory}/cni`, options.bridge, options.subnet, `${directory}/leases`);
  await Deno.writeTextFile(
    `${directory}/config.toml`,
    `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${options.pauseImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${directory}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`,
  );
  const child = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      'exec containerd --config "$1" >>"$2" 2>&1',
      "sh",
      `${directory}/config.toml`,
      `${directory}/log`,
    ],
    stdin: "null",
  }).spawn();
  return {
    name: "containerd",
    socket,
    pid: child.pid,
    monitorName: "containerd-shim-runc-v2",
    directory,
    bridge: options.bridge,
    ended: child.status,
    async [Symbol.asyncDispose](): Promise<void> {
      await ended(child, directory, options.bridge);
    },
  };
}
