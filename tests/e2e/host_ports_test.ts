/** Host ports of pods: by rules of our own where the network has no plugin for them, else by the plugin. */
import assert from "node:assert/strict";
import { NamespaceMode, PodSandboxState } from "../../src/proto/mod.ts";
import { hostPortTable } from "../support/residue.ts";
import type { TestNode } from "../support/test_node.ts";
import { onWorkbench, refused, type Workbench } from "../support/workbench.ts";

const test = onWorkbench();

const SERVER = 'trap "exit 0" TERM; nc -ll -p 80 -e echo hello from $(hostname) & wait $!';

let ports = 21_000 + (Deno.pid % 1_000) * 10;
/**
 * A port that nobody has: below those that the kernel gives to whoever names none, and above those of
 * the tests of faults.
 */
const freePort = () => ports++;

const opens = (hostPort: number, hostIp = "") => ({
  portMappings: [{ containerPort: 80, hostPort, hostIp, protocol: 0 as const }],
});

/** A pod that serves on port 80, which a port of the host leads to. */
async function serving(bench: Workbench, name: string, hostPort: number, hostIp = "") {
  const container = await bench.pod({
    name,
    script: SERVER,
    pod: { hostname: name, ...opens(hostPort, hostIp) },
  });
  // Its port is open once somebody in the pod sees it so.
  await container.sh("until nc 127.0.0.1 80 </dev/null >/dev/null; do :; done");
  return container;
}

async function ask(port: number, hostname = "127.0.0.1"): Promise<string> {
  try {
    using connection = await Deno.connect({ hostname, port });
    return (await new Response(connection.readable).text()).trim();
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return "refused";
    throw error;
  }
}

async function rulesOf(node: TestNode): Promise<string> {
  const { stdout } = await new Deno.Command("nft", {
    args: ["list", "table", "inet", hostPortTable(node)],
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout);
}

test("a host port leads to the pod from the host, over restarts, until the pod is stopped", async (bench) => {
  const port = freePort();
  const { sandboxId } = await serving(bench, "web", port);
  assert.equal(await ask(port), "hello from web");
  const { status } = await bench.runtime.podSandboxStatus({ podSandboxId: sandboxId });
  await bench.restart("kill");
  assert.equal(await ask(port), "hello from web");

  const table = ["table", "inet", hostPortTable(bench.node)];
  await bench.restart("kill", {
    meanwhile: async () => {
      assert.ok((await new Deno.Command("nft", { args: ["delete", ...table] }).output()).success);
      assert.equal(await ask(port), "refused");
    },
  });
  assert.equal(await ask(port), "hello from web", "rules that are missing are added again");
  const after = await bench.runtime.podSandboxStatus({ podSandboxId: sandboxId });
  assert.deepEqual(after.status?.network, status?.network);

  await bench.runtime.stopPodSandbox({ podSandboxId: sandboxId });
  assert.equal(await ask(port), "refused");
  assert.equal(await rulesOf(bench.node), "");
});

test("rules that belong to no pod are removed at the start", async (bench) => {
  const args = ["add", "table", "inet", hostPortTable(bench.node)];
  await bench.restart("kill", {
    meanwhile: async () => {
      await new Deno.Command("nft", { args }).output();
    },
  });
  assert.equal(await rulesOf(bench.node), "");
});

test("a port of one address is open on that one alone", async (bench) => {
  const port = freePort();
  await serving(bench, "one", port, "127.0.0.1");
  await serving(bench, "other", port, "127.0.0.2");
  assert.equal(await ask(port), "hello from one");
  assert.equal(await ask(port, "127.0.0.2"), "hello from other");
  assert.equal(await ask(port, "127.0.0.3"), "refused");
});

test("a taken port is refused by the name of its holder, after a restart too", async (bench) => {
  const port = freePort();
  const { sandboxId } = await serving(bench, "first", port);
  const again = () => bench.sandbox({ pod: opens(port, "127.0.0.1") });
  await refused(again(), "FAILED_PRECONDITION", "pod default/first", sandboxId, String(port));
  await bench.restart("kill");
  await refused(again(), "FAILED_PRECONDITION", "pod default/first", sandboxId, String(port));
  const host = { linux: { securityContext: { namespaceOptions: hostNetwork } } };
  await refused(
    bench.sandbox({ pod: { ...opens(port), ...host } }),
    "FAILED_PRECONDITION",
    "pod default/first",
  );
  await bench.runtime.stopPodSandbox({ podSandboxId: sandboxId });
  const onHost = await bench.sandbox({ name: "on-host", pod: { ...opens(port), ...host } });
  await bench.restart("kill");
  await refused(again(), "FAILED_PRECONDITION", "pod default/on-host", onHost.id);
  const { items } = await bench.runtime.listPodSandbox({
    filter: { state: { state: PodSandboxState.SANDBOX_READY } },
  });
  assert.deepEqual(items.map(({ id }) => id), [onHost.id], "nothing was made for those refused");
});

const hostNetwork = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };

test("a port that a program of the host listens on is refused by that program's name", async (bench) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  await refused(
    bench.sandbox({ pod: opens(port) }),
    "FAILED_PRECONDITION",
    `process ${Deno.pid} (`,
    "listens on 127.0.0.1",
  );
});

test("a network whose list has the portmap plugin opens the ports itself, and closes them by that list", async (bench) => {
  const port = freePort();
  const path = `${bench.node.directory}/cni/10-test.conflist`;
  const before = await Deno.readTextFile(path);
  const list = JSON.parse(before);
  list.plugins.push({ type: "portmap", capabilities: { portMappings: true } });
  await Deno.writeTextFile(path, JSON.stringify(list));
  await bench.restart("kill");
  const { sandboxId } = await serving(bench, "mapped", port);
  assert.equal(await ask(port), "hello from mapped");
  assert.equal(await rulesOf(bench.node), "");

  // While it runs, the network becomes one without the plugin.
  await Deno.writeTextFile(path, before);
  await bench.restart("kill");
  await serving(bench, "own", freePort());
  assert.match(await rulesOf(bench.node), /dnat/);
  await bench.runtime.stopPodSandbox({ podSandboxId: sandboxId });
  assert.equal(await ask(port), "refused");
  const { stdout } = await new Deno.Command("iptables-save").output();
  assert.ok(!new TextDecoder().decode(stdout).includes(sandboxId.slice(0, 24)));
});

test("disable_hostport_mapping leaves host ports unmapped", async (bench) => {
  const config = await Deno.readTextFile(bench.node.configPath);
  const port = freePort();
  const changed = config.replace(
    "[sauropod.runtime]",
    "[sauropod.runtime]\ndisable_hostport_mapping = true",
  );
  await Deno.writeTextFile(bench.node.configPath, changed);
  try {
    await bench.restart("stop");
    await serving(bench, "unmapped", port);
    assert.equal(await ask(port), "refused");
    assert.equal(await rulesOf(bench.node), "");
  } finally {
    await Deno.writeTextFile(bench.node.configPath, config);
    await bench.clear();
    await bench.restart("stop");
  }
});
