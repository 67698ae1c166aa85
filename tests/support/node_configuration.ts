/**
 * The configuration of a server whose every place is its own: what it would share with the machine, or
 * with another server, stands here. A new key with a default place gets a line.
 *
 * @module
 */

export interface NodePlaces {
  /** Has `policy.json` and the CNI configurations in `cni/`. */
  readonly directory: string;
  readonly root: string;
  readonly socket: string;
}

/** @param runc lines for the handler of that name */
export function nodeConfiguration(
  { directory, root, socket }: NodePlaces,
  runc: readonly string[] = [],
): string {
  return `[sauropod]
root = "${root}"
runroot = "${directory}/run"
log_dir = "${directory}/logs"
storage_driver = "overlay"

[sauropod.api]
listen = "${socket}"

[sauropod.runtime]
default_runtime = "runc"
cgroup_manager = "cgroupfs"
namespaces_dir = "${directory}/namespaces"
container_exits_dir = "${directory}/exits"
container_attach_socket_dir = "${directory}/attach"

[sauropod.runtime.runtimes.runc]
${[`runtime_root = "${directory}/run/runc"`, ...runc].join("\n")}

[sauropod.image]
signature_policy = "${directory}/policy.json"
namespaced_auth_dir = "${directory}/auth"

[sauropod.network]
network_dir = "${directory}/cni"
plugin_dirs = ["/usr/lib/cni"]
`;
}
