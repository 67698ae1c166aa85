/**
 * kill -9 at every gate of `sauropod load`, from an archive on standard input and from a file.
 *
 * @module
 */
import assert from "node:assert/strict";
import { busyboxImage, dockerArchive } from "../integration/test_images.ts";
import { awaitNoResidue } from "../support/picture.ts";
import { removePod, runPod } from "../support/pods.ts";
import { serverCommand, TestNode } from "../support/test_node.ts";

const NAME = "docker.io/library/loaded:1";

/** The command's exit status. */
async function load(node: TestNode, archive: string, from: "file" | "input"): Promise<number> {
  const [program, first] = serverCommand();
  const child = new Deno.Command(program, {
    args: [...first, "load", "--socket", node.socket, ...(from === "file" ? [archive] : [])],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  if (from === "input") {
    using file = await Deno.open(archive);
    // A server that is killed meanwhile reads no more.
    await file.readable.pipeTo(child.stdin).catch(() => {});
  } else {
    await child.stdin.close();
  }
  return (await child.status).code;
}

Deno.test({
  name: "a server killed at any gate of a load starts again, and the load can be repeated",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn(t) {
    await using node = await TestNode.make();
    const archive = `${node.directory}/archive.tar`;
    await Deno.writeFile(archive, dockerArchive([{ image: busyboxImage(), tags: [NAME] }]));
    const trace = `${node.directory}/gates`;
    {
      await using server = await node.start({ faultGate: `trace:${trace}` });
      assert.equal(await load(node, archive, "file"), 0);
      await server.client.images.removeImage({ image: { image: NAME } });
    }
    const passed = (await Deno.readTextFile(trace)).split("\n").filter((gate) => gate !== "");
    const gates = [...new Set(passed)].filter((gate) => !gate.startsWith("remove"));
    assert.ok(gates.length > 8, `only ${gates.length} gates were passed`);
    for (const [index, gate] of gates.entries()) {
      await t.step(gate, async () => {
        const from = index % 2 === 0 ? "file" : "input";
        {
          await using server = await node.start({ faultGate: `kill:${gate}` });
          await load(node, archive, from);
          assert.equal((await server.ended).signal, "SIGKILL");
        }
        await using server = await node.start();
        const { client } = server;
        for (const { id } of (await client.images.listImages({})).images) {
          assert.ok((await client.images.imageStatus({ image: { image: id } })).image);
        }
        assert.equal(await load(node, archive, from), 0);
        const { sandbox } = await runPod(client, node, { name: "loaded", image: NAME });
        await removePod(client, sandbox);
        await client.images.removeImage({ image: { image: NAME } });
        assert.deepEqual([...Deno.readDirSync(`${node.root}/layers`)], []);
        for (const folder of ["incoming", "loading"]) {
          const left = await Array.fromAsync(Deno.readDir(`${node.root}/${folder}`)).catch(
            () => [],
          );
          assert.deepEqual(left, [], `nothing stays in ${folder}`);
        }
        await awaitNoResidue(node);
      });
    }
  },
});
