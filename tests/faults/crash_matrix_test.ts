/**
 * kill -9 at every gate of every operation, and a start that finds the node whole again.
 *
 * The gates are not listed here: each kind of life of a pod is run with the trace on, and whatever gates
 * it passes make the matrix. A pod beside it runs all the time and must not notice.
 *
 * @module
 */
import assert from "node:assert/strict";
import { LinuxContainerResources } from "../../src/proto/mod.ts";
import { busyboxImage, busyboxLayer, type TestEntry } from "../integration/test_images.ts";
import { startRegistry, type TestRegistry } from "../integration/registry.ts";
import { PodSandboxConfig } from "../../src/proto/mod.ts";
import type { CriClient } from "../support/cri_client.ts";
import { containerConfig, podConfig, removePod, runPod } from "../support/pods.ts";
import { NamespaceMode } from "../../src/proto/mod.ts";
import { type RunningServer, TestNode } from "../support/test_node.ts";

type Life = (client: CriClient, node: TestNode, image: string) => Promise<void>;

/** The whole life of a pod and of its image; every operation that makes or removes something. */
async function life(client: CriClient, node: TestNode, image: string): Promise<void> {
  const timeout = { timeoutMs: 60_000 };
  await client.images.pullImage({ image: { image } }, timeout);
  const config = PodSandboxConfig.fromPartial({
    ...podConfig(node, { name: "matrix" }),
    portMappings: [{ containerPort: 80, hostPort: 10_000 + (Deno.pid % 10_000) }],
  });
  const { podSandboxId } = await client.runtime.runPodSandbox({ config }, timeout);
  const { containerId } = await client.runtime.createContainer({
    podSandboxId,
    config: containerConfig({ name: "main", image }),
    sandboxConfig: config,
  }, timeout);
  await client.runtime.startContainer({ containerId }, timeout);
  const linux = LinuxContainerResources.fromPartial({ cpuShares: 100n });
  await client.runtime.updateContainerResources({ containerId, linux }, timeout);
  await client.runtime.stopContainer({ containerId, timeout: 5n }, timeout);
  await client.runtime.removeContainer({ containerId }, timeout);
  await client.runtime.stopPodSandbox({ podSandboxId }, timeout);
  await client.runtime.removePodSandbox({ podSandboxId }, timeout);
  await client.images.removeImage({ image: { image } }, timeout);
}

/** A life with what PID namespaces add: the pod's, and one that a second container joins. */
async function sharedLife(client: CriClient, node: TestNode, image: string): Promise<void> {
  const timeout = { timeoutMs: 60_000 };
  const inNamespace = (pid: NamespaceMode, targetId = "") => ({
    securityContext: { namespaceOptions: { pid, targetId } },
  });
  await client.images.pullImage({ image: { image } }, timeout);
  const plain = podConfig(node, { name: "matrix" });
  const config = {
    ...plain,
    linux: { cgroupParent: plain.linux?.cgroupParent ?? "", ...inNamespace(NamespaceMode.POD) },
  };
  const { podSandboxId } = await client.runtime.runPodSandbox({ config }, timeout);
  const started = async (name: string, linux: ReturnType<typeof inNamespace>) => {
    const { containerId } = await client.runtime.createContainer({
      podSandboxId,
      config: { ...containerConfig({ name, image }), linux },
      sandboxConfig: config,
    }, timeout);
    await client.runtime.startContainer({ containerId }, timeout);
    return containerId;
  };
  const target = await started("main", inNamespace(NamespaceMode.CONTAINER));
  await started("debug", inNamespace(NamespaceMode.TARGET, target));
  await client.runtime.stopPodSandbox({ podSandboxId }, timeout);
  await client.runtime.removePodSandbox({ podSandboxId }, timeout);
  await client.images.removeImage({ image: { image } }, timeout);
}

/** Takes away what an interrupted life left in the lists, as a kubelet would. */
async function sweep(client: CriClient, keep: string, image: string): Promise<void> {
  const { items } = await client.runtime.listPodSandbox({});
  for (const { id } of items) if (id !== keep) await removePod(client, id);
  await client.images.removeImage({ image: { image } });
}

/** Everything listed can be asked about: nothing half made is shown. */
async function assertWhole(client: CriClient): Promise<void> {
  const { items } = await client.runtime.listPodSandbox({});
  for (const { id } of items) {
    assert.ok((await client.runtime.podSandboxStatus({ podSandboxId: id })).status);
  }
  const { containers } = await client.runtime.listContainers({});
  for (const { id } of containers) {
    assert.ok((await client.runtime.containerStatus({ containerId: id })).status);
  }
  const { images } = await client.images.listImages({});
  for (const { id } of images) {
    assert.ok((await client.images.imageStatus({ image: { image: id } })).image);
  }
}

interface Bystander {
  readonly sandbox: string;
  readonly container: string;
  readonly pid: number;
}

async function bystanderPid(client: CriClient, container: string): Promise<number> {
  const { info, status } = await client.runtime.containerStatus({
    containerId: container,
    verbose: true,
  });
  assert.equal(status?.state, 1, "the bystander runs");
  return (JSON.parse(info["info"] ?? "{}") as { pid: number }).pid;
}

class Matrix implements AsyncDisposable {
  readonly node: TestNode;
  readonly registry: TestRegistry;
  readonly image: string;
  readonly bystander: Bystander;
  readonly baseline: readonly string[];

  private constructor(
    fields: Pick<Matrix, "node" | "registry" | "image" | "bystander" | "baseline">,
  ) {
    this.node = fields.node;
    this.registry = fields.registry;
    this.image = fields.image;
    this.bystander = fields.bystander;
    this.baseline = fields.baseline;
  }

  static async make(): Promise<Matrix> {
    const registry = await startRegistry();
    await registry.push("test/bystander", "1", busyboxImage());
    // Shares no layer with the bystander's, so that its layers come and go.
    await registry.push(
      "test/matrix",
      "1",
      busyboxImage({ layers: [layerOf("a"), layerOf("b")] }),
    );
    const node = await TestNode.make({ insecureRegistries: [registry.address] });
    await using server = await node.start();
    const { client } = server;
    const bystanderImage = `${registry.address}/test/bystander:1`;
    await client.images.pullImage({ image: { image: bystanderImage } });
    const { sandbox, container } = await runPod(client, node, {
      name: "bystander",
      image: bystanderImage,
    });
    return new Matrix({
      node,
      registry,
      image: `${registry.address}/test/matrix:1`,
      bystander: { sandbox, container, pid: await bystanderPid(client, container) },
      baseline: await node.residue(),
    });
  }

  /** Every gate that a whole life passes, in order, once. */
  async gates(life: Life): Promise<string[]> {
    const trace = `${this.node.directory}/gates-${life.name}`;
    await using server = await this.node.start({ faultGate: `trace:${trace}` });
    await life(server.client, this.node, this.image);
    return [...new Set((await Deno.readTextFile(trace)).split("\n").filter((gate) => gate !== ""))];
  }

  /** Kills the server at a gate, starts it again, and looks. */
  async killAt(gate: string, life: Life): Promise<void> {
    {
      await using server = await this.node.launch({ faultGate: `kill:${gate}` });
      await life(server.client, this.node, this.image).then(
        () => assert.fail(`no operation passed ${gate}`),
        () => undefined,
      );
      await assertKilled(server);
    }
    await using server = await this.node.start();
    const { client } = server;
    await assertWhole(client);
    assert.equal(await bystanderPid(client, this.bystander.container), this.bystander.pid);
    await this.#repeat(client, life);
    await sweep(client, this.bystander.sandbox, this.image);
    assert.deepEqual(await this.#newResidue(), []);
  }

  /** The client tries again what it was answered no more, then takes everything away. */
  async #repeat(client: CriClient, life: Life): Promise<void> {
    const { items } = await client.runtime.listPodSandbox({});
    // A pod that survived in some other state than ready is taken away first, as the kubelet does.
    for (const { id, state } of items) {
      if (id !== this.bystander.sandbox && state !== 0) await removePod(client, id);
    }
    const { containers } = await client.runtime.listContainers({});
    for (const { id } of containers) {
      if (id !== this.bystander.container) {
        await client.runtime.removeContainer({ containerId: id });
      }
    }
    await life(client, this.node, this.image);
  }

  async #newResidue(): Promise<string[]> {
    // What is taken down behind the answers (an ended container's runtime state) is given a moment.
    for (let round = 0;; round++) {
      const left = (await this.node.residue()).filter((line) => !this.baseline.includes(line));
      if (left.length === 0 || round === 100) return left;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
    await this.registry[Symbol.asyncDispose]();
  }
}

function layerOf(name: string): TestEntry[] {
  return [...busyboxLayer(), { path: `only-in-${name}`, content: name.repeat(1000) }];
}

async function assertKilled(server: RunningServer): Promise<void> {
  const status = await server.ended;
  assert.equal(status.signal, "SIGKILL", "the gate killed the server");
}

Deno.test({
  name: "a server killed at any gate starts again, undoes or finishes, and leaves nothing behind",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn(t) {
    await using matrix = await Matrix.make();
    const gates = await matrix.gates(life);
    assert.ok(gates.length > 40, `only ${gates.length} gates were passed`);
    const more = (await matrix.gates(sharedLife)).filter((gate) => !gates.includes(gate));
    for (const kind of ["pid-holder", "pid-namespace", "undo-pid-namespace-holder"]) {
      assert.ok(more.some((gate) => gate.includes(`.${kind}.`)), `no gate of ${kind} was passed`);
    }
    console.log(`${gates.length} gates, ${more.length} more with shared PID namespaces`);
    // To look at a few of them: FAULT_GATES='^create-container' scripts/test faults
    const wanted = new RegExp(Deno.env.get("FAULT_GATES") ?? "");
    for (const gate of gates.filter((gate) => wanted.test(gate))) {
      await t.step(gate, () => matrix.killAt(gate, life));
    }
    for (const gate of more.filter((gate) => wanted.test(gate))) {
      await t.step(gate, () => matrix.killAt(gate, sharedLife));
    }
  },
});
