/**
 * A log that is rotated under a fast writer, as the kubelet does it, through the server.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage } from "../integration/test_images.ts";
import { containerInfo } from "../support/picture.ts";
import { removePod, runPod } from "../support/pods.ts";
import { TestNode } from "../support/test_node.ts";

const BURSTS = 10;
const LINES_A_BURST = 5_000;

Deno.test({
  name: "rotation every 100 ms under 50 MB/s, reopened twice, loses, doubles and tears no line",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using registry = await startRegistry();
    await registry.push("test/log", "1", busyboxImage());
    const image = `${registry.address}/test/log:1`;
    await using node = await TestNode.make({ insecureRegistries: [registry.address] });
    await using server = await node.start();
    const { client } = server;
    await client.images.pullImage({ image: { image } });
    // 1 KiB a line, 5 MB a burst.
    const burst =
      `seq $((i * ${LINES_A_BURST} + 1)) $(((i + 1) * ${LINES_A_BURST})) | awk '{ printf "%s %01000d\\n", $1, 0 }'`;
    const { sandbox, container } = await runPod(client, node, {
      name: "writer",
      image,
      script: `i=0; while [ $i -lt ${BURSTS} ]; do ${burst}; i=$((i + 1)); sleep 0.05; done`,
    });
    const { status } = await containerInfo(client, container);
    const path = status.logPath;
    const rotated: string[] = [];
    while ((await containerInfo(client, container)).status.state === 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const target = `${path}.${rotated.length}`;
      await Deno.rename(path, target);
      rotated.push(target);
      const reopen = () => client.runtime.reopenContainerLog({ containerId: container });
      try {
        await Promise.all([reopen(), reopen()]);
        await reopen();
      } catch (error) {
        // It ended just then: the kubelet puts the log back.
        if ((await containerInfo(client, container)).status.state === 1) throw error;
        if (await Deno.stat(path).catch(() => undefined) !== undefined) continue;
        await Deno.rename(target, path);
        rotated.pop();
      }
    }
    assert.ok(rotated.length >= 3, `${rotated.length} rotations`);
    let expected = 1;
    let pending = "";
    for (const file of [...rotated, path]) {
      const text = await Deno.readTextFile(file);
      assert.ok(text === "" || text.endsWith("\n"), `${file} ends inside a line`);
      for (const line of text.split("\n").slice(0, -1)) {
        const [, , tag, ...content] = line.split(" ");
        pending += content.join(" ");
        if (tag === "P") continue;
        assert.equal(pending.length, String(expected).length + 1001, `line ${expected} in ${file}`);
        assert.equal(pending.slice(0, pending.indexOf(" ")), String(expected), file);
        pending = "";
        expected++;
      }
    }
    assert.equal(expected, BURSTS * LINES_A_BURST + 1);
    await removePod(client, sandbox);
  },
});
