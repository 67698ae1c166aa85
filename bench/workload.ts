/** Pods and containers as the kubelet asks for them. @module */
import { ContainerConfig, NamespaceMode, PodSandboxConfig } from "../src/proto/mod.ts";
import { SecurityProfile_ProfileType } from "../src/proto/mod.ts";
import type { Peer } from "./peer.ts";

const LABEL = { "sauropod.bench": String(Deno.pid) };
/** Whose PID namespace: each container's own, as the kubelet asks, or one of the pod's. */
export type PidMode = NamespaceMode.CONTAINER | NamespaceMode.POD;

function namespaces(pid: PidMode) {
  return { network: NamespaceMode.POD, pid, ipc: NamespaceMode.POD };
}

/** The kubelet's default. */
const SECCOMP = { profileType: SecurityProfile_ProfileType.Unconfined };

/** Ends at once on SIGTERM, so that stops measure the runtime. */
const WAITING = 'trap "exit 0" TERM; echo hello; while :; do sleep 1000 & wait $!; done';

let serial = 0;

export interface RunningPod {
  readonly sandbox: string;
  readonly config: PodSandboxConfig;
}

export function podConfig(
  peer: Peer,
  pid: PidMode = NamespaceMode.CONTAINER,
): PodSandboxConfig {
  const name = `bench-${serial++}`;
  return PodSandboxConfig.fromPartial({
    metadata: { name, namespace: "bench", uid: `uid-${name}`, attempt: 0 },
    hostname: name,
    logDirectory: `${peer.logDir}/${name}`,
    labels: LABEL,
    linux: {
      cgroupParent: `${peer.cgroupParent}/${name}`,
      securityContext: { namespaceOptions: namespaces(pid), seccomp: SECCOMP },
    },
  });
}

export function containerConfig(
  image: string,
  { name = "main", script = WAITING, pid = NamespaceMode.CONTAINER }: {
    readonly name?: string;
    readonly script?: string;
    readonly pid?: PidMode;
  } = {},
): ContainerConfig {
  return ContainerConfig.fromPartial({
    metadata: { name, attempt: 0 },
    image: { image },
    command: ["/bin/sh", "-c", script],
    logPath: `${name}_0.log`,
    labels: LABEL,
    linux: { securityContext: { namespaceOptions: namespaces(pid), seccomp: SECCOMP } },
  });
}

export async function runSandbox({ client }: Peer, config: PodSandboxConfig): Promise<RunningPod> {
  const { podSandboxId: sandbox } = await client.runtime.runPodSandbox({ config });
  return { sandbox, config };
}

export async function createContainer(
  { client }: Peer,
  { sandbox, config }: RunningPod,
  container: ContainerConfig,
): Promise<string> {
  const { containerId } = await client.runtime.createContainer({
    podSandboxId: sandbox,
    config: container,
    sandboxConfig: config,
  });
  return containerId;
}

/** A pod with one running container. */
export async function startPod(peer: Peer, image: string): Promise<RunningPod> {
  const pod = await runSandbox(peer, podConfig(peer));
  const containerId = await createContainer(peer, pod, containerConfig(image));
  await peer.client.runtime.startContainer({ containerId });
  return pod;
}

/** Stops and removes what this run made, a few at a time. */
export async function removePods({ client }: Peer): Promise<void> {
  const { items } = await client.runtime.listPodSandbox(
    { filter: { labelSelector: LABEL } },
    { timeoutMs: 5_000 },
  );
  await atOnce(4, items, async ({ id }) => {
    await client.runtime.stopPodSandbox({ podSandboxId: id });
    await client.runtime.removePodSandbox({ podSandboxId: id });
  });
}

/** Handles all items, `width` at the same time. */
export async function atOnce<T>(
  width: number,
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items[Symbol.iterator]();
  await Promise.all(Array.from({ length: width }, async () => {
    for (let next = rest.next(); !next.done; next = rest.next()) await work(next.value);
  }));
}
