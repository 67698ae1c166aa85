/**
 * What a client sees of a node, in a form that two moments can be compared in.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { ContainerStatus } from "../../src/proto/mod.ts";
import type { CriClient } from "./cri_client.ts";
import type { TestNode } from "./test_node.ts";

export interface ContainerInfo {
  readonly status: ContainerStatus;
  /** 0 if it has no process. */
  readonly pid: number;
}

/** Status and pid of a container. */
export async function containerInfo(client: CriClient, id: string): Promise<ContainerInfo> {
  const { status, info } = await client.runtime.containerStatus({
    containerId: id,
    verbose: true,
  });
  assert.ok(status !== undefined);
  const { pid } = JSON.parse(info["info"] ?? "{}") as { pid?: number };
  return { status, pid: pid ?? 0 };
}

export interface Picture {
  readonly sandboxes: readonly { readonly id: string; readonly state: number }[];
  readonly containers: readonly {
    readonly id: string;
    readonly state: number;
    readonly pid: number;
  }[];
  readonly images: readonly { readonly id: string }[];
}

/** Every sandbox, container and image with what must outlast a restart. */
export async function pictureOf(client: CriClient): Promise<Picture> {
  const { items } = await client.runtime.listPodSandbox({});
  const sandboxes = [];
  for (const { id, state, createdAt, labels, metadata } of items) {
    const { status } = await client.runtime.podSandboxStatus({ podSandboxId: id });
    const ip = status?.network?.ip;
    sandboxes.push({ id, state, createdAt, labels, metadata, ip });
  }
  const containers = [];
  for (
    const { id, state, createdAt, labels } of (await client.runtime.listContainers({})).containers
  ) {
    const { status, pid } = await containerInfo(client, id);
    const { startedAt, finishedAt, exitCode, reason, imageRef, imageId } = status;
    const times = { createdAt, startedAt, finishedAt };
    containers.push({ id, state, pid, labels, ...times, exitCode, reason, imageRef, imageId });
  }
  const { images } = await client.images.listImages({});
  return {
    sandboxes: byId(sandboxes),
    containers: byId(containers),
    images: byId(images.map(({ id, repoTags, repoDigests }) => ({ id, repoTags, repoDigests }))),
  };
}

function byId<T extends { readonly id: string }>(things: readonly T[]): T[] {
  return things.toSorted((a, b) => a.id < b.id ? -1 : 1);
}

/**
 * Waits a moment for what is taken down behind the answers; fails with what is left beyond `known`. The
 * cgroup that the test's pods share goes only if the first of them goes last: on a node it is the
 * kubelet's.
 */
export async function awaitNoResidue(node: TestNode, known: readonly string[] = []): Promise<void> {
  for (let round = 0;; round++) {
    const left = (await node.residue()).filter((line) =>
      !known.includes(line) && !(line.startsWith("cgroup") && line.endsWith(node.cgroupParent))
    );
    if (left.length === 0) return;
    if (round === 100) assert.deepEqual(left, []);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
