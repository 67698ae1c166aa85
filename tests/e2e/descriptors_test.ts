import assert from "node:assert/strict";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage } from "../integration/test_images.ts";
import { removePod, runPod } from "../support/pods.ts";
import { TestNode } from "../support/test_node.ts";

Deno.test({
  name: "neither a monitor nor a container gets a descriptor of the server's",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using registry = await startRegistry();
    await registry.push("test/busybox", "1", busyboxImage());
    await using node = await TestNode.make({ insecureRegistries: [registry.address] });
    await using server = await node.start();
    const { client } = server;
    const image = `${registry.address}/test/busybox:1`;
    await client.images.pullImage({ image: { image } });
    const { sandbox, container } = await runPod(client, node, { name: "fds", image });

    const sockets = socketsOf(server.pid);
    assert.ok(sockets.size > 0, "the server has sockets");
    const { info } = await client.runtime.containerStatus({
      containerId: container,
      verbose: true,
    });
    const { pid } = JSON.parse(info["info"] ?? "{}") as { pid: number };
    for (const other of [pid, parentOf(pid)]) {
      const shared = [...socketsOf(other)].filter((socket) => sockets.has(socket));
      assert.deepEqual(shared, [], `process ${other} has sockets of the server`);
    }
    await removePod(client, sandbox);
    assert.deepEqual(await node.residue(), []);
  },
});

function socketsOf(pid: number): Set<string> {
  const found = new Set<string>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      const target = Deno.readLinkSync(`/proc/${pid}/fd/${name}`);
      if (target.startsWith("socket:")) found.add(target);
    } catch {
      // Closed meanwhile.
    }
  }
  return found;
}

/** The monitor of a container is its parent. */
function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
}
