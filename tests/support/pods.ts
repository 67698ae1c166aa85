/**
 * Pod and container requests for tests.
 *
 * @module
 */
import { ContainerConfig, NamespaceMode, PodSandboxConfig } from "../../src/proto/mod.ts";
import type { CriClient } from "./cri_client.ts";
import type { TestNode } from "./test_node.ts";

export interface PodOptions {
  readonly name: string;
  readonly attempt?: number;
  readonly hostNetwork?: boolean;
  readonly labels?: Record<string, string>;
}

/** A pod whose containers have PID namespaces of their own, as the kubelet asks by default. */
export function podConfig(node: TestNode, options: PodOptions): PodSandboxConfig {
  const { name, attempt = 0, hostNetwork = false, labels = {} } = options;
  return PodSandboxConfig.fromPartial({
    metadata: { name, namespace: "default", uid: `uid-${name}`, attempt },
    logDirectory: `${node.logDir}/${name}`,
    labels,
    linux: {
      cgroupParent: `${node.cgroupParent}/${name}`,
      securityContext: {
        namespaceOptions: {
          network: hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
          pid: NamespaceMode.CONTAINER,
        },
      },
    },
  });
}

export interface ContainerOptions {
  readonly name: string;
  readonly image: string;
  /** Shell text; by default it says hello and waits until it is asked to end. */
  readonly script?: string;
  readonly attempt?: number;
}

/** Ends at once on SIGTERM, so that stops are quick. */
export const WAITING = 'trap "exit 0" TERM; echo hello; while :; do sleep 1000 & wait $!; done';

export function containerConfig(options: ContainerOptions): ContainerConfig {
  const { name, image, script = WAITING, attempt = 0 } = options;
  return ContainerConfig.fromPartial({
    metadata: { name, attempt },
    image: { image },
    command: ["/bin/sh", "-c", script],
    logPath: `${name}_${attempt}.log`,
    linux: {},
  });
}

/** Runs a pod with one started container. */
export async function runPod(
  client: CriClient,
  node: TestNode,
  options: PodOptions & { readonly image: string; readonly script?: string },
): Promise<{ readonly sandbox: string; readonly container: string }> {
  const config = podConfig(node, options);
  const { podSandboxId: sandbox } = await client.runtime.runPodSandbox({ config });
  const { containerId: container } = await client.runtime.createContainer({
    podSandboxId: sandbox,
    config: containerConfig({
      name: "main",
      image: options.image,
      ...(options.script === undefined ? {} : { script: options.script }),
    }),
    sandboxConfig: config,
  });
  await client.runtime.startContainer({ containerId: container });
  return { sandbox, container };
}

export async function removePod(client: CriClient, sandbox: string): Promise<void> {
  await client.runtime.stopPodSandbox({ podSandboxId: sandbox });
  await client.runtime.removePodSandbox({ podSandboxId: sandbox });
}
