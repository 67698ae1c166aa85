/**
 * The kubelet's own client library, in a Go program, against the server as a process.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage } from "../integration/test_images.ts";
import { ImageServiceDefinition, RuntimeServiceDefinition } from "../../src/proto/mod.ts";
import { buildGoClient, lackingForGo, runGoClient, tail } from "../support/go_client.ts";
import { unless } from "../support/skipping.ts";
import { TestNode } from "../support/test_node.ts";

Deno.test({
  ...unless(
    lackingForGo(),
    "The kubelet's client library finds every method of a pod's life as it should be",
  ),
  async fn(t) {
    let client = "";
    // A minute on a machine whose Go has built nothing yet, and a second ever after.
    await t.step("it builds", async () => void (client = await buildGoClient()));
    await using registry = await startRegistry();
    await registry.push("e2e/busybox", "1", busyboxImage());
    await using node = await TestNode.make({ insecureRegistries: [registry.address] });
    await using server = await node.start({
      env: { CONTAINER_LOG_LEVEL: "debug", ENABLE_POD_EVENTS: "true" },
    });
    for (const streaming of [false, true]) {
      await t.step(streaming ? "with streamed lists" : "with lists in one answer", async () => {
        const { code, passed, rest } = await runGoClient(client, [
          `-endpoint=unix://${node.socket}`,
          `-image=${registry.address}/e2e/busybox:1`,
          `-log-directory=${node.logDir}/e2e${streaming ? "-streaming" : ""}`,
          `-cgroup-parent=${node.cgroupParent}/e2e`,
          `-streaming=${streaming}`,
        ]);
        assert.equal(code, 0, `${rest}\n${await tail(server.logPath)}`);
        assert.ok(passed > 80, "the client went through all of its checks");
      });
    }
    await t.step("every method that has one answer was called", async () => {
      const methods = [RuntimeServiceDefinition, ImageServiceDefinition].flatMap((service) =>
        Object.values(service.methods) as { name: string; responseStream: boolean }[]
      );
      const log = await Deno.readTextFile(server.logPath);
      const missing = methods.filter(({ name, responseStream }) =>
        !responseStream && !log.includes(` method="${name}"`)
      );
      assert.deepEqual(missing.map(({ name }) => name), []);
    });
    await t.step("and nothing of it is left", async () => {
      assert.deepEqual(await node.residue(), []);
    });
  },
});
