/**
 * Monitors that die before their containers, and containers that end while no server looks.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage } from "../integration/test_images.ts";
import type { CriClient } from "../support/cri_client.ts";
import { awaitNoResidue, type ContainerInfo, containerInfo } from "../support/picture.ts";
import { containerConfig, podConfig, removePod, runPod } from "../support/pods.ts";
import { TestNode } from "../support/test_node.ts";

const RUNNING = 1;
const EXITED = 2;

const options = { sanitizeResources: false, sanitizeOps: false };

class Bench implements AsyncDisposable {
  readonly node: TestNode;
  readonly image: string;
  readonly #owned: AsyncDisposable;

  private constructor(node: TestNode, image: string, owned: AsyncDisposable) {
    this.node = node;
    this.image = image;
    this.#owned = owned;
  }

  static async make(): Promise<Bench> {
    await using undo = new AsyncDisposableStack();
    const registry = undo.use(await startRegistry());
    await registry.push("test/monitor", "1", busyboxImage());
    const image = `${registry.address}/test/monitor:1`;
    const node = undo.use(await TestNode.make({ insecureRegistries: [registry.address] }));
    await using server = await node.start();
    await server.client.images.pullImage({ image: { image } });
    return new Bench(node, image, undo.move());
  }

  /** A sandbox with a container that has not been started. */
  async created(client: CriClient, name: string): Promise<{ sandbox: string; container: string }> {
    const config = podConfig(this.node, { name });
    const { podSandboxId } = await client.runtime.runPodSandbox({ config });
    const { containerId } = await client.runtime.createContainer({
      podSandboxId,
      config: containerConfig({ name: "main", image: this.image }),
      sandboxConfig: config,
    });
    return { sandbox: podSandboxId, container: containerId };
  }

  async assertClean(client: CriClient): Promise<void> {
    const { items } = await client.runtime.listPodSandbox({});
    for (const { id } of items) await removePod(client, id);
    await awaitNoResidue(this.node);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

/** kill -9 to the monitor of a container, found by its arguments. @returns how many there were */
async function killMonitor(container: string): Promise<number> {
  let killed = 0;
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const args = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (!/(^|\/)conmon\0/.test(args) || !args.includes(container)) continue;
    Deno.kill(Number(name), "SIGKILL");
    killed++;
  }
  return killed;
}

async function untilState(
  client: CriClient,
  id: string,
  state: number,
): Promise<ContainerInfo["status"]> {
  for (;;) {
    const { status } = await containerInfo(client, id);
    if (status.state === state) return status;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function untilGone(pid: number): Promise<void> {
  const lives = () => {
    try {
      return !/^\d+ \(.*\) [ZX]/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
    } catch {
      return false;
    }
  };
  while (lives()) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function assertExecWorks(client: CriClient, containerId: string): Promise<void> {
  const { exitCode } = await client.runtime.execSync({
    containerId,
    cmd: ["true"],
    timeout: 30n,
  });
  assert.equal(exitCode, 0);
}

Deno.test({
  name: "a container whose monitor was killed runs on until it ends, then its code is lost",
  ...options,
  async fn(t) {
    await using bench = await Bench.make();
    const { node, image } = bench;
    await t.step("while the server runs", async () => {
      await using server = await node.start();
      const { client } = server;
      const { container } = await runPod(client, node, { name: "watched", image });
      const { pid } = await containerInfo(client, container);
      assert.equal(await killMonitor(container), 1);
      await assertExecWorks(client, container);
      assert.equal((await containerInfo(client, container)).status.state, RUNNING);
      Deno.kill(pid, "SIGKILL");
      const { exitCode, reason } = await untilState(client, container, EXITED);
      assert.deepEqual([exitCode, reason], [255, "MonitorLost"]);
      await bench.assertClean(client);
    });
    await t.step("while no server runs", async () => {
      let pod;
      {
        await using server = await node.start();
        pod = await runPod(server.client, node, { name: "unwatched", image });
        await server.kill();
      }
      assert.equal(await killMonitor(pod.container), 1);
      await using server = await node.start();
      const { client } = server;
      const { status, pid } = await containerInfo(client, pod.container);
      assert.equal(status.state, RUNNING);
      await assertExecWorks(client, pod.container);
      // Stopping it needs no monitor.
      await client.runtime.stopContainer({ containerId: pod.container, timeout: 10n });
      await untilGone(pid);
      const { exitCode, reason } = await untilState(client, pod.container, EXITED);
      assert.deepEqual([exitCode, reason], [255, "MonitorLost"]);
      await bench.assertClean(client);
    });
    await t.step("and the container, too, while no server runs", async () => {
      let pod, pid;
      {
        await using server = await node.start();
        pod = await runPod(server.client, node, { name: "alone", image });
        ({ pid } = await containerInfo(server.client, pod.container));
        await server.kill();
      }
      assert.equal(await killMonitor(pod.container), 1);
      Deno.kill(pid, "SIGKILL");
      await untilGone(pid);
      await using server = await node.start();
      const { exitCode, reason } = await untilState(server.client, pod.container, EXITED);
      assert.deepEqual([exitCode, reason], [255, "MonitorLost"]);
      await bench.assertClean(server.client);
    });
  },
});

Deno.test({
  name: "a created container whose monitor was killed can be started or removed",
  ...options,
  async fn() {
    await using bench = await Bench.make();
    const { node } = bench;
    let pod;
    {
      await using server = await node.start();
      const { client } = server;
      const removed = await bench.created(client, "removed");
      assert.equal(await killMonitor(removed.container), 1);
      await client.runtime.removeContainer({ containerId: removed.container });
      pod = await bench.created(client, "started");
      assert.equal(await killMonitor(pod.container), 1);
      await server.kill();
    }
    await using server = await node.start();
    const { client } = server;
    // Whether the runtime still starts it is its own affair; it must answer, and end.
    await client.runtime.startContainer({ containerId: pod.container }).catch(() => {});
    await bench.assertClean(client);
  },
});

Deno.test({
  name: "a container made just before the server and its monitor were killed is undone",
  ...options,
  async fn() {
    await using bench = await Bench.make();
    const { node, image } = bench;
    const config = podConfig(node, { name: "half" });
    const request = {
      config: containerConfig({ name: "main", image }),
      sandboxConfig: config,
    };
    let sandbox: string;
    {
      await using server = await node.launch({
        faultGate: "kill:create-container.runtime-create.acted",
      });
      const { client } = server;
      ({ podSandboxId: sandbox } = await client.runtime.runPodSandbox({ config }));
      await assert.rejects(
        client.runtime.createContainer({ ...request, podSandboxId: sandbox }),
      );
      await server.ended;
    }
    const [id = ""] = [...Deno.readDirSync(`${node.runRoot}/runc`)].map(({ name }) => name);
    assert.equal(await killMonitor(id), 1);
    await using server = await node.start();
    const { client } = server;
    assert.deepEqual((await client.runtime.listContainers({})).containers, []);
    assert.deepEqual([...Deno.readDirSync(`${node.runRoot}/runc`)], []);
    const { containerId } = await client.runtime.createContainer({
      ...request,
      podSandboxId: sandbox,
    });
    await client.runtime.startContainer({ containerId });
    await assertExecWorks(client, containerId);
    await bench.assertClean(client);
  },
});

Deno.test({
  name: "containers that end while no server runs keep their true code, time and reason",
  ...options,
  async fn() {
    await using bench = await Bench.make();
    const { node, image } = bench;
    const go = `${node.directory}/go`;
    await Deno.mkdir(go);
    // They wait for the server's death, which they see by a file.
    const wait = "while [ ! -e /go/now ]; do sleep 0.05; done;";
    const scripts: Record<string, string> = {
      seven: `${wait} exit 7`,
      zero: `${wait} exit 0`,
      hungry: `${wait} tail /dev/zero`,
    };
    const containers: Record<string, string> = {};
    const pids: number[] = [];
    {
      await using server = await node.start();
      const { client } = server;
      const config = podConfig(node, { name: "ending" });
      const { podSandboxId } = await client.runtime.runPodSandbox({ config });
      for (const [name, script] of Object.entries(scripts)) {
        const plain = containerConfig({ name, image, script: `exec 2>/dev/null; ${script}` });
        const { containerId } = await client.runtime.createContainer({
          podSandboxId,
          config: {
            ...plain,
            mounts: [{ hostPath: go, containerPath: "/go", readonly: true }],
            linux: { resources: { memoryLimitInBytes: 32n << 20n } },
          },
          sandboxConfig: config,
        });
        await client.runtime.startContainer({ containerId });
        containers[name] = containerId;
        pids.push((await containerInfo(client, containerId)).pid);
      }
      await server.kill();
    }
    const before = BigInt(Date.now()) * 1_000_000n;
    await Deno.writeTextFile(`${go}/now`, "");
    for (const pid of pids) await untilGone(pid);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const later = BigInt(Date.now() - 500) * 1_000_000n;
    await using server = await node.start();
    const { client } = server;
    const found: Record<string, unknown> = {};
    for (const [name, id] of Object.entries(containers)) {
      const { exitCode, reason, finishedAt } = await untilState(client, id, EXITED);
      found[name] = [exitCode, reason];
      assert.ok(finishedAt > before - 1_000_000_000n && finishedAt < later, `${name}'s time`);
    }
    assert.deepEqual(found, {
      seven: [7, "Error"],
      zero: [0, "Completed"],
      hungry: [137, "OOMKilled"],
    });
    await bench.assertClean(client);
  },
});

Deno.test({
  name: "a command that was running in a container when the server was killed is ended",
  ...options,
  async fn() {
    await using bench = await Bench.make();
    const { node, image } = bench;
    let container: string;
    {
      await using server = await node.start();
      const { client } = server;
      ({ container } = await runPod(client, node, { name: "execs", image }));
      const running = client.runtime.execSync({
        containerId: container,
        cmd: ["sh", "-c", "touch /tmp/begun; setsid sleep 4321 & sleep 4321"],
        timeout: 600n,
      }).catch(() => {});
      for (;;) {
        const { exitCode } = await client.runtime.execSync({
          containerId: container,
          cmd: ["test", "-e", "/tmp/begun"],
          timeout: 30n,
        });
        if (exitCode === 0) break;
      }
      await server.kill();
      await running;
    }
    await using server = await node.start();
    const { client } = server;
    const { stdout } = await client.runtime.execSync({
      containerId: container,
      cmd: ["ps"],
      timeout: 30n,
    });
    assert.doesNotMatch(new TextDecoder().decode(stdout), /sleep 4321/);
    assert.equal((await containerInfo(client, container)).status.state, RUNNING);
    await bench.assertClean(client);
  },
});
