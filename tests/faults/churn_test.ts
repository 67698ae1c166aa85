/**
 * Fifty pods made and removed while the server is killed at random moments: whatever was caught in
 * whatever state, one more start and a removal of what is listed leave nothing.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage } from "../integration/test_images.ts";
import { awaitNoResidue } from "../support/picture.ts";
import { removePod, runPod } from "../support/pods.ts";
import { TestNode } from "../support/test_node.ts";

const PODS = 50;
const LANES = 4;
/** The same moments in every run, as far as the machine lets them be. */
const SEED = 20_260_801;

/** Numbers from 0 to 1. */
function* randoms(seed: number): Generator<number, never> {
  for (let state = seed;;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

Deno.test({
  name: "fifty pods under a server that is killed again and again leave nothing behind",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using registry = await startRegistry();
    await registry.push("test/churn", "1", busyboxImage());
    const image = `${registry.address}/test/churn:1`;
    await using node = await TestNode.make({ insecureRegistries: [registry.address] });
    const random = randoms(SEED);
    let begun = 0;
    let finished = 0;
    let kills = 0;
    while (begun < PODS) {
      await using server = await node.start();
      const { client } = server;
      await client.images.pullImage({ image: { image } });
      const lane = async () => {
        while (begun < PODS) {
          const { sandbox } = await runPod(client, node, { name: `pod${begun++}`, image });
          await removePod(client, sandbox);
          finished++;
        }
      };
      const lanes = Promise.allSettled(Array.from({ length: LANES }, lane));
      const delay = new Promise((resolve) => setTimeout(resolve, 200 + random.next().value * 800));
      await Promise.race([lanes, delay]);
      await server.kill();
      kills++;
      await lanes;
    }
    assert.ok(kills > 2 && finished > 0, `${kills} kills, ${finished} whole lives`);
    await using server = await node.start();
    const { client } = server;
    const { items } = await client.runtime.listPodSandbox({});
    for (const { id } of items) await removePod(client, id);
    await client.images.removeImage({ image: { image } });
    await awaitNoResidue(node);
    assert.deepEqual([...Deno.readDirSync(`${node.root}/layers`)], []);
  },
});
