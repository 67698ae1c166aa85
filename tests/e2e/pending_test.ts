import assert from "node:assert/strict";
import { podConfig } from "../support/pods.ts";
import { serverCommand, TestNode } from "../support/test_node.ts";

Deno.test({
  name:
    "a network that cannot be taken away fails the stop, is shown by check, and goes when it can",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using node = await TestNode.make();
    await brokenPlugin(node);
    await using server = await node.start();
    const { runtime } = server.client;
    const { podSandboxId } = await runtime.runPodSandbox({
      config: podConfig(node, { name: "stuck" }),
    });
    await Deno.writeTextFile(`${node.directory}/broken`, "");
    await assert.rejects(
      runtime.stopPodSandbox({ podSandboxId }),
      /cni-attachment.*not today|not today/,
    );
    await runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual((await runtime.listPodSandbox({})).items, []);
    assert.match(await check(node), /leftover +cni-attachment of [0-9a-f]{64} .*not today/);

    await Deno.remove(`${node.directory}/broken`);
    for (let round = 0; (await check(node)).includes("leftover"); round++) {
      assert.ok(round < 100, "the leftover never went");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.match(await Deno.readTextFile(`${node.directory}/calls`), /DEL\n$/);
  },
});

/** A CNI plugin whose DEL fails while the file `broken` exists. */
async function brokenPlugin(node: TestNode): Promise<void> {
  const plugins = `${node.directory}/plugins`;
  await Deno.mkdir(plugins);
  await Deno.writeTextFile(
    `${plugins}/stubborn`,
    `#!/bin/sh
cat >/dev/null
echo $CNI_COMMAND >>${node.directory}/calls
if [ $CNI_COMMAND = DEL ] && [ -e ${node.directory}/broken ]; then
  echo '{"cniVersion":"1.0.0","code":11,"msg":"not today"}'
  exit 1
fi
[ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"10.9.9.9/24"}]}'
exit 0
`,
    { mode: 0o755 },
  );
  await Deno.writeTextFile(
    `${node.directory}/cni/10-test.conflist`,
    JSON.stringify({ cniVersion: "1.0.0", name: "stubborn", plugins: [{ type: "stubborn" }] }),
  );
  const config = await Deno.readTextFile(node.configPath);
  await Deno.writeTextFile(node.configPath, config.replace('"/usr/lib/cni"', `"${plugins}"`));
}

async function check(node: TestNode): Promise<string> {
  const [program, args] = serverCommand();
  const { stdout } = await new Deno.Command(program, {
    args: [...args, "check", "--config", node.configPath],
    env: { SAUROPOD_UNPACK_DIR: `${node.directory}/exec` },
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout);
}
