/** Pods on the storage driver that copies: the same life, and the same crash. @module */
import assert from "node:assert/strict";
import { onWorkbench } from "../support/workbench.ts";

const test = onWorkbench({
  prepare: async ({ configPath }) => {
    const text = await Deno.readTextFile(configPath);
    await Deno.writeTextFile(configPath, text.replace('driver = "overlay"', 'driver = "vfs"'));
  },
});

test("a pod on the vfs driver runs, writes, outlives a killed server, and leaves nothing", async (bench) => {
  const [one, two] = [await bench.pod(), await bench.pod()];
  await one.sh("echo mine >/file");
  await bench.restart("kill");
  assert.equal((await one.sh("cat /file")).trim(), "mine");
  assert.equal((await two.sh("ls /file || echo none")).trim(), "none");
  const { containerFilesystems } = await bench.client.images.imageFsInfo({});
  assert.ok((containerFilesystems[0]?.usedBytes?.value ?? 0n) > 0n);
});
