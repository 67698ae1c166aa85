/**
 * After a reboot: another boot id, an empty run root, and none of the processes, mounts and namespaces
 * that the record names. Their numbers and paths may be somebody else's now.
 *
 * @module
 */
import assert from "node:assert/strict";
import { status as Code } from "@grpc/grpc-js";
import { LinuxContainerResources } from "../../src/proto/mod.ts";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage } from "../integration/test_images.ts";
import { awaitNoResidue, containerInfo, type Picture, pictureOf } from "../support/picture.ts";
import type { CriClient } from "../support/cri_client.ts";
import { podConfig, removePod, runPod } from "../support/pods.ts";
import { endLeftovers } from "../support/residue.ts";
import { TestNode } from "../support/test_node.ts";

/** A plugin at the end of the list that notes how it is called and changes nothing. */
async function addRecorder(node: TestNode): Promise<string> {
  const log = `${node.directory}/cni-calls`;
  const plugins = `${node.directory}/plugins`;
  await Deno.mkdir(plugins);
  await Deno.writeTextFile(
    `${plugins}/recorder`,
    `#!/bin/sh
input=$(/bin/cat)
printf '%s\\t%s\\t%s\\t%s\\n' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$input" >>${log}
if [ "$CNI_COMMAND" = ADD ]; then
  printf '%s' "$input" | /bin/sed -E 's/.*"prevResult":(.*)\\}$/\\1/'
fi
`,
    { mode: 0o755 },
  );
  const config = await Deno.readTextFile(node.configPath);
  await Deno.writeTextFile(
    node.configPath,
    config.replace('"/usr/lib/cni"', `"/usr/lib/cni", "${plugins}"`),
  );
  const listPath = `${node.directory}/cni/10-test.conflist`;
  const list = JSON.parse(await Deno.readTextFile(listPath));
  list.plugins.push({ type: "recorder" });
  await Deno.writeTextFile(listPath, JSON.stringify(list));
  return log;
}

interface CniCall {
  readonly command: string;
  readonly container: string;
  readonly netns: string;
  readonly input: { readonly prevResult?: { readonly ips: readonly { address: string }[] } };
}

async function callsOf(log: string): Promise<CniCall[]> {
  const lines = (await Deno.readTextFile(log)).split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const [command = "", container = "", netns = "", input = "{}"] = line.split("\t");
    return { command, container, netns, input: JSON.parse(input) };
  });
}

/** Ends everything that does not outlast a reboot. */
async function reboot(node: TestNode): Promise<void> {
  await endLeftovers(node);
  for (const name of ["run", "namespaces", "exits", "attach"]) {
    await Deno.remove(`${node.directory}/${name}`, { recursive: true });
    await Deno.mkdir(`${node.directory}/${name}`, { mode: 0o700 });
  }
}

function isFree(pid: number): boolean {
  try {
    Deno.statSync(`/proc/${pid}`);
    return false;
  } catch {
    return true;
  }
}

/** A process of nobody's that has the number of one in the record. */
async function innocentWithPid(
  pids: readonly number[],
): Promise<Disposable & { readonly lives: boolean }> {
  // Whoever reaps orphans on this machine may take its time.
  for (let round = 0; round < 600 && !pids.some(isFree); round++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // The kernel gives the next free number after the one written; a number still in use is not had.
  const script = `for round in $(seq 100); do for pid in "$@"; do
    echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
    sleep 600 >/dev/null 2>&1 & [ $! = $pid ] && echo $pid && exit
    kill $!; wait $!
  done; done`;
  const { stdout } = await new Deno.Command("/bin/bash", {
    args: ["-c", script, "bash", ...pids.filter(isFree).map(String)],
  }).output();
  const pid = Number(new TextDecoder().decode(stdout));
  assert.ok(pid > 0, "no recorded pid could be had");
  return {
    get lives(): boolean {
      try {
        return /^\d+ \(sleep\) [^Z]/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
      } catch {
        return false;
      }
    },
    [Symbol.dispose]: () => Deno.kill(pid, "SIGKILL"),
  };
}

/** What must not change for a pod and its containers while they are known, whatever happens to them. */
interface Told {
  readonly sandboxes: readonly unknown[];
  readonly containers: readonly unknown[];
}

async function toldOf(client: CriClient, { sandboxes, containers }: Picture): Promise<Told> {
  return {
    sandboxes: await Promise.all(sandboxes.map(async ({ id }) => {
      const { status } = await client.runtime.podSandboxStatus({ podSandboxId: id });
      const { state: _, ...rest } = status!;
      return rest;
    })),
    containers: await Promise.all(containers.map(async ({ id }) => {
      const { status } = await containerInfo(client, id);
      const { state: _, finishedAt: __, exitCode: ___, reason: ____, message: _____, ...rest } =
        status;
      return rest;
    })),
  };
}

Deno.test({
  name:
    "after a reboot pods have ended, their addresses are given back, and nothing recorded is touched",
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using registry = await startRegistry();
    await registry.push("test/reboot", "1", busyboxImage());
    const image = `${registry.address}/test/reboot:1`;
    await using node = await TestNode.make({ insecureRegistries: [registry.address] });
    const calls = await addRecorder(node);
    let before;
    let told: Told;
    let pids: number[];
    {
      await using server = await node.start();
      const { client } = server;
      await client.images.pullImage({ image: { image } });
      await runPod(client, node, { name: "one", image });
      const two = await runPod(client, node, { name: "two", image });
      await client.runtime.updateContainerResources({
        containerId: two.container,
        linux: LinuxContainerResources.fromPartial({ cpuShares: 77n }),
      });
      const stopped = await runPod(client, node, { name: "stopped", image });
      await client.runtime.stopPodSandbox({ podSandboxId: stopped.sandbox });
      before = await pictureOf(client);
      told = await toldOf(client, before);
      pids = before.containers.map(({ pid }) => pid).filter((pid) => pid > 0);
      assert.equal(pids.length, 2);
      await server.kill();
    }
    {
      // One pod is being made when the power goes.
      await using server = await node.launch({
        faultGate: "kill:run-pod-sandbox.network-attach.acted",
      });
      await assert.rejects(
        server.client.runtime.runPodSandbox({ config: podConfig(node, { name: "half" }) }),
      );
      await server.ended;
    }
    await reboot(node);
    await Deno.writeTextFile(calls, "");
    using innocent = await innocentWithPid(pids);
    let settled;
    {
      await using server = await node.start({ bootId: "11111111-2222-4333-8444-555555555555" });
      const { client } = server;
      const after = await pictureOf(client);
      assert.deepEqual(after.sandboxes.map(({ id }) => id), before.sandboxes.map(({ id }) => id));
      assert.ok(after.sandboxes.every(({ state }) => state === 1), "every sandbox is not ready");
      const toldAfter = await toldOf(client, before);
      assert.deepEqual(toldAfter, told, "all but the state is told as before");
      assert.deepEqual(after.images, before.images);
      for (const { id, pid } of before.containers) {
        const { status } = await containerInfo(client, id);
        assert.equal(status.state, 2, "every container has ended");
        if (pid === 0) continue;
        assert.deepEqual([status.exitCode, status.reason], [255, "NodeRestarted"]);
        assert.ok(status.finishedAt > status.startedAt && status.startedAt > status.createdAt);
        const call = { containerId: id };
        const linux = LinuxContainerResources.fromPartial({ cpuShares: 5n });
        const code = { code: Code.FAILED_PRECONDITION };
        await assert.rejects(client.runtime.startContainer(call), code);
        await assert.rejects(client.runtime.execSync({ ...call, cmd: ["true"] }), code);
        await assert.rejects(client.runtime.updateContainerResources({ ...call, linux }), code);
        await client.runtime.stopContainer({ ...call, timeout: 5n });
      }
      await untilLeasesAreFree(node);
      const made = (await callsOf(calls)).filter(({ command }) => command === "DEL");
      const ready = before.sandboxes.filter(({ state }) => state === 0).map(({ id }) => id);
      for (const id of ready) {
        const call = made.find(({ container }) => container === id);
        assert.ok(call !== undefined, `DEL ran for ${id}`);
        assert.equal(call.netns, "");
        assert.equal(call.input.prevResult?.ips.length, 1, "with the stored result");
      }
      // And once for the pod that was being made.
      assert.equal(made.length, ready.length + 1);
      assert.ok(made.every(({ netns }) => netns === ""));
      assert.ok(innocent.lives, "a process with a recorded pid was ended");
      settled = await pictureOf(client);
      assert.deepEqual(await toldOf(client, before), told);
      // A start in the same boot finds everything as the one before left it.
      await server.kill();
    }
    {
      await using server = await node.start({ bootId: "11111111-2222-4333-8444-555555555555" });
      const { client } = server;
      assert.deepEqual(await pictureOf(client), settled);
      assert.deepEqual(await toldOf(client, before), told);

      await runPod(client, node, { name: "new", image });
      const { items } = await client.runtime.listPodSandbox({});
      for (const { id } of items) await removePod(client, id);
      await client.images.removeImage({ image: { image } });
      assert.ok(innocent.lives, "removing ended a process with a recorded pid");
      await awaitNoResidue(node);
    }
  },
});

async function untilLeasesAreFree(node: TestNode): Promise<void> {
  for (let round = 0;; round++) {
    const leases = (await node.residue()).filter((line) => line.startsWith("lease"));
    if (leases.length === 0) return;
    if (round === 200) assert.deepEqual(leases, []);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
