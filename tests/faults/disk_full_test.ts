/**
 * Not one byte left on the file system of the root: what gives space back works, what takes space is
 * refused, and a start is possible.
 *
 * @module
 */
import assert from "node:assert/strict";
import { status as Code } from "@grpc/grpc-js";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage, busyboxLayer } from "../integration/test_images.ts";
import { awaitNoResidue, pictureOf } from "../support/picture.ts";
import { containerConfig, podConfig, removePod, runPod } from "../support/pods.ts";
import { TestDisk } from "../support/test_disk.ts";
import { TestNode } from "../support/test_node.ts";

const DISK_BYTES = 128 << 20;

Deno.test({
  name: "on a full disk pods end and go, new ones are refused, and all works once there is space",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using registry = await startRegistry();
    await registry.push("test/full", "1", busyboxImage());
    await registry.push(
      "test/other",
      "1",
      busyboxImage({ layers: [[...busyboxLayer(), { path: "other", content: "other" }]] }),
    );
    const image = `${registry.address}/test/full:1`;
    const other = `${registry.address}/test/other:1`;
    await using disk = await TestDisk.make(DISK_BYTES);
    await using node = await TestNode.make({
      root: disk.root,
      insecureRegistries: [registry.address],
    });
    let filler: AsyncDisposable;
    let ready: { readonly sandbox: string; readonly container: string };
    let whole: { readonly sandbox: string; readonly container: string };
    {
      await using server = await node.start();
      const { client } = server;
      await client.images.pullImage({ image: { image } });
      const one = await runPod(client, node, { name: "one", image });
      ready = await runPod(client, node, { name: "two", image });
      whole = await runPod(client, node, { name: "three", image });
      filler = await disk.fill();
      assert.equal(disk.availableBytes(), 0);

      const before = [await pictureOf(client), (await node.residue()).sort()];
      const config = podConfig(node, { name: "refused" });
      const refused = { code: Code.RESOURCE_EXHAUSTED };
      await assert.rejects(client.runtime.runPodSandbox({ config }), refused);
      await assert.rejects(
        client.runtime.createContainer({
          podSandboxId: ready.sandbox,
          config: containerConfig({ name: "refused", image }),
          sandboxConfig: podConfig(node, { name: "two" }),
        }),
        refused,
      );
      await assert.rejects(client.images.pullImage({ image: { image: other } }), refused);
      assert.deepEqual([await pictureOf(client), (await node.residue()).sort()], before);

      await client.runtime.stopContainer({ containerId: one.container, timeout: 5n });
      const { status } = await client.runtime.containerStatus({ containerId: one.container });
      assert.deepEqual([status?.exitCode, status?.reason], [0, "Completed"]);
      await client.runtime.removeContainer({ containerId: one.container });
      await removePod(client, one.sandbox);
      await server.kill();
    }
    // What was given back is taken, so that the start has nothing.
    const second = await disk.fill();
    {
      await using server = await node.start();
      const { client } = server;
      const { items } = await client.runtime.listPodSandbox({});
      assert.deepEqual(items.map(({ id }) => id).sort(), [ready.sandbox, whole.sandbox].sort());
      await removePod(client, ready.sandbox);
      await client.runtime.stopPodSandbox({ podSandboxId: whole.sandbox });
      await client.runtime.removePodSandbox({ podSandboxId: whole.sandbox });
      await client.images.removeImage({ image: { image } });
      assert.deepEqual((await client.images.listImages({})).images, []);
      assert.deepEqual([...Deno.readDirSync(`${node.root}/layers`)], []);
      await awaitNoResidue(node);

      await filler[Symbol.asyncDispose]();
      await second[Symbol.asyncDispose]();
      await client.images.pullImage({ image: { image: other } });
      const { sandbox } = await runPod(client, node, { name: "after", image: other });
      await removePod(client, sandbox);
      await client.images.removeImage({ image: { image: other } });
      await awaitNoResidue(node);
    }
  },
});
