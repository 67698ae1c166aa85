/**
 * kill -9 at every gate of every operation, and a start that finds the node whole again.
 *
 * The gates are not listed here: each kind of life of a pod is run with the trace on, and whatever gates
 * it passes make the matrix. A pod beside it runs all the time and must not notice.
 *
 * Most of the time goes into starts of the server. So the one that was found whole after a kill is the next
 * to be killed, once it has been told so by a file; and there are two nodes, which take turns at the gates.
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
import { type RunningServer, type ServerStart, TestNode } from "../support/test_node.ts";

type Life = (client: CriClient, place: Place) => Promise<void>;

/** Where a life is lived; no two nodes share any of it. */
interface Place {
  readonly node: TestNode;
  readonly image: string;
  readonly hostPort: number;
}

/** A gate, and the life that passes it. */
interface Case {
  readonly gate: string;
  readonly life: Life;
}

/** The whole life of a pod and of its image; every operation that makes or removes something. */
async function life(client: CriClient, { node, image, hostPort }: Place): Promise<void> {
  const timeout = { timeoutMs: 60_000 };
  await client.images.pullImage({ image: { image } }, timeout);
  const config = PodSandboxConfig.fromPartial({
    ...podConfig(node, { name: "matrix" }),
    portMappings: [{ containerPort: 80, hostPort }],
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
async function sharedLife(client: CriClient, { node, image }: Place): Promise<void> {
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

/** A node whose servers are killed one after the other. */
class Rig implements AsyncDisposable {
  readonly place: Place;
  readonly bystander: Bystander;
  readonly baseline: readonly string[];
  /** Answers, and is killed at its gate as soon as the file is there. */
  #next: { readonly server: RunningServer; readonly gate: string | undefined } | undefined;

  private constructor(fields: Pick<Rig, "place" | "bystander" | "baseline">) {
    this.place = fields.place;
    this.bystander = fields.bystander;
    this.baseline = fields.baseline;
  }

  static async make(registry: TestRegistry, hostPort: number): Promise<Rig> {
    await using undo = new AsyncDisposableStack();
    const node = undo.use(await TestNode.make({ insecureRegistries: [registry.address] }));
    await using server = await node.start();
    const { client } = server;
    const bystanderImage = `${registry.address}/test/bystander:1`;
    await client.images.pullImage({ image: { image: bystanderImage } });
    const { sandbox, container } = await runPod(client, node, {
      name: "bystander",
      image: bystanderImage,
    });
    const rig = new Rig({
      place: { node, image: `${registry.address}/test/matrix:1`, hostPort },
      bystander: { sandbox, container, pid: await bystanderPid(client, container) },
      baseline: await node.residue(),
    });
    undo.move();
    return rig;
  }

  /** Every gate that a whole life passes, in order, once. */
  async gates(life: Life): Promise<string[]> {
    const { node } = this.place;
    const trace = `${node.directory}/gates-${life.name}`;
    await using server = await node.start({ faultGate: `trace:${trace}` });
    assert.equal(await Deno.readTextFile(trace), "", "a start has no gates of its own here");
    await life(server.client, this.place);
    return [...new Set((await Deno.readTextFile(trace)).split("\n").filter((gate) => gate !== ""))];
  }

  /**
   * Kills the server at a gate, starts it again, and looks.
   *
   * @param following gate at which the server that was started is to be killed later
   */
  async killAt({ gate, life }: Case, following: string | undefined): Promise<void> {
    const { node } = this.place;
    {
      await using server = await this.#serverFor(gate);
      await Deno.writeTextFile(this.#armed, "");
      await life(server.client, this.place).then(
        () => assert.fail(`no operation passed ${gate}`),
        () => undefined,
      );
      await assertKilled(server);
      await Deno.remove(this.#armed);
    }
    await using undo = new AsyncDisposableStack();
    const server = undo.use(await node.start(this.#killed(following)));
    const { client } = server;
    await assertWhole(client);
    assert.equal(await bystanderPid(client, this.bystander.container), this.bystander.pid);
    await this.#repeat(client, life);
    await sweep(client, this.bystander.sandbox, this.place.image);
    assert.deepEqual(await this.#newResidue(), []);
    undo.move();
    this.#next = { server, gate: following };
  }

  get #armed(): string {
    return `${this.place.node.directory}/armed`;
  }

  #killed(gate: string | undefined): ServerStart {
    return gate === undefined ? {} : { faultGate: `kill:${gate},armed:${this.#armed}` };
  }

  /** The server that the gate before this one left, or a new one if that gate's test failed. */
  async #serverFor(gate: string): Promise<RunningServer> {
    const next = this.#next;
    this.#next = undefined;
    if (next?.gate === gate) return next.server;
    await next?.server[Symbol.asyncDispose]();
    await Deno.remove(this.#armed).catch(() => {});
    return await this.place.node.start(this.#killed(gate));
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
    await life(client, this.place);
  }

  async #newResidue(): Promise<string[]> {
    // What is taken down behind the answers (an ended container's runtime state) is given a moment.
    for (let round = 0;; round++) {
      const left = (await this.place.node.residue()).filter((line) =>
        !this.baseline.includes(line)
      );
      if (left.length === 0 || round === 100) return left;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.place.node[Symbol.asyncDispose]();
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
  // Steps run beside each other, which they may do only without.
  sanitizeExit: false,
  async fn(t) {
    await using stack = new AsyncDisposableStack();
    const registry = stack.use(await startRegistry());
    await registry.push("test/bystander", "1", busyboxImage());
    // Shares no layer with the bystander's, so that its layers come and go.
    await registry.push("test/matrix", "1", busyboxImage({ layers: [layerOf("a"), layerOf("b")] }));
    const first = stack.use(await Rig.make(registry, 10_000 + (Deno.pid % 5_000)));
    const second = stack.use(await Rig.make(registry, 15_000 + (Deno.pid % 5_000)));

    const gates = await first.gates(life);
    assert.ok(gates.length > 40, `only ${gates.length} gates were passed`);
    const more = (await first.gates(sharedLife)).filter((gate) => !gates.includes(gate));
    for (const kind of ["pid-holder", "pid-namespace", "undo-pid-namespace-holder"]) {
      assert.ok(more.some((gate) => gate.includes(`.${kind}.`)), `no gate of ${kind} was passed`);
    }
    console.log(`${gates.length} gates, ${more.length} more with shared PID namespaces`);
    // To look at a few of them: FAULT_GATES='^create-container' scripts/test faults
    const wanted = new RegExp(Deno.env.get("FAULT_GATES") ?? "");
    const cases = [
      ...gates.map((gate): Case => ({ gate, life })),
      ...more.map((gate): Case => ({ gate, life: sharedLife })),
    ].filter(({ gate }) => wanted.test(gate)).values();
    const killAll = async (rig: Rig) => {
      let next = cases.next().value;
      while (next !== undefined) {
        const current = next;
        next = cases.next().value;
        const following = next?.gate;
        await t.step(current.gate, () => rig.killAt(current, following));
      }
    };
    await Promise.all([killAll(first), killAll(second)]);
  },
});
