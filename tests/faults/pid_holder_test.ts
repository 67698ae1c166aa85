/**
 * A server killed while the OCI runtime is still making the holder of a pod's PID namespace.
 *
 * @module
 */
import assert from "node:assert/strict";
import { NamespaceMode } from "../../src/proto/mod.ts";
import { podConfig, removePod } from "../support/pods.ts";
import { TestNode } from "../support/test_node.ts";
import { eventually } from "../support/workbench.ts";

Deno.test({
  name: "a runtime that was making a holder when the server was killed makes none afterwards",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using node = await TestNode.make();
    // It says when it has begun, and goes on when it is let.
    const [begun, go] = [`${node.directory}/begun`, `${node.directory}/go`];
    const text = await Deno.readTextFile(node.configPath);
    const runc = /^runtime_path = "(.+)"$/m.exec(text)?.[1] ?? "";
    const slow = `${node.directory}/slow`;
    await Deno.writeTextFile(
      slow,
      `#!/bin/sh
case " $* " in *" run --detach "*)
  echo $$ >${begun}.new && mv ${begun}.new ${begun}
  read -r _ <${go};;
esac
exec ${runc} "$@"
`,
      { mode: 0o755 },
    );
    await new Deno.Command("mkfifo", { args: [go] }).output();
    await Deno.writeTextFile(node.configPath, text.replace(`"${runc}"`, `"${slow}"`));
    const plain = podConfig(node, { name: "half" });
    const config = {
      ...plain,
      linux: {
        cgroupParent: plain.linux?.cgroupParent ?? "",
        securityContext: { namespaceOptions: { pid: NamespaceMode.POD } },
      },
    };
    let maker = 0;
    {
      await using server = await node.start();
      const running = server.client.runtime.runPodSandbox({ config }).then(
        () => assert.fail("the runtime has not been let go on"),
        () => undefined,
      );
      maker = await eventually("the runtime has begun", async () => {
        const pid = await Deno.readTextFile(begun).catch(() => "");
        return pid === "" ? undefined : Number(pid);
      });
      await server.kill();
      await running;
    }
    assert.ok(isAlive(maker), "it outlives the server that started it");
    await using server = await node.start();
    const { client } = server;
    assert.ok(!isAlive(maker), "what it was making is undone, and so is it");
    assert.deepEqual((await client.runtime.listPodSandbox({})).items, []);
    assert.deepEqual(await node.residue(), []);
    // The same pod starts, once the runtime does its work.
    await Deno.writeTextFile(node.configPath, text);
    await server.kill();
    await using healthy = await node.start();
    const { podSandboxId } = await healthy.client.runtime.runPodSandbox({ config });
    await removePod(healthy.client, podSandboxId);
    assert.deepEqual(await node.residue(), []);
  },
});

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}
