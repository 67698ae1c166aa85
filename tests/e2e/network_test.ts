/** What the runtime asks plugins of CNI 1.1 beside ADD and DEL, and what it makes of their answers. */
import assert from "node:assert/strict";
import { eventually, onWorkbench, type Workbench } from "../support/workbench.ts";

const NAME = "recorded";

/** A plugin of 1.1 that notes each call, gives one address of each family, and has an answer for STATUS. */
const PLUGIN = `#!/bin/sh
here=\${0%/*}
printf '%s %s %s\\n' "$CNI_COMMAND" "$CNI_CONTAINERID" "$(/bin/cat)" >>"$here/calls"
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}';;
  ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"10.9.8.7/24"},{"address":"fd00::7/64"}]}';;
  STATUS|CHECK) test ! -e "$here/fails" || { /bin/cat "$here/fails"; exit 1; };;
esac
`;

const test = onWorkbench({
  extraConfig: 'cni_status_grace_period = "0s"',
  prepare: async (node) => {
    const plugins = `${node.directory}/plugins`;
    await Deno.mkdir(plugins);
    await Deno.writeTextFile(`${plugins}/recorder`, PLUGIN, { mode: 0o755 });
    const config = await Deno.readTextFile(node.configPath);
    await Deno.writeTextFile(node.configPath, config.replace('"/usr/lib/cni"', `"${plugins}"`));
    await Deno.writeTextFile(
      `${node.directory}/cni/10-test.conflist`,
      JSON.stringify({
        cniVersion: "1.0.0",
        cniVersions: ["1.0.0", "1.1.0"],
        name: NAME,
        plugins: [{ type: "recorder" }],
      }),
    );
  },
});

interface Call {
  readonly command: string;
  readonly container: string;
  readonly input: Record<string, unknown>;
}

async function callsOf({ node }: Workbench, command: string): Promise<Call[]> {
  const lines = (await Deno.readTextFile(`${node.directory}/plugins/calls`)).split("\n");
  return lines.slice(0, -1).map((line) => {
    const [name = "", container = "", input = "{}"] = line.split(/ (\S*) (.*)/s);
    return { command: name, container, input: JSON.parse(input) };
  }).filter((call) => call.command === command);
}

async function networkReady({ runtime }: Workbench) {
  const { status } = await runtime.status({});
  const found = status?.conditions.find(({ type }) => type === "NetworkReady");
  assert.ok(found !== undefined);
  return found;
}

test("a plugin that says it is not ready makes the node's network not ready, in its words", async (bench) => {
  assert.equal((await networkReady(bench)).status, true);
  const fails = `${bench.node.directory}/plugins/fails`;
  await Deno.writeTextFile(fails, '{"code":50,"msg":"the agent is away"}');
  const condition = await eventually("the network is not ready", async () => {
    const condition = await networkReady(bench);
    return condition.status ? undefined : condition;
  });
  assert.equal(condition.reason, "NetworkPluginNotReady");
  assert.match(
    condition.message,
    /"recorder" of network "recorded".*the agent is away \(code 50\)/,
  );
  await Deno.remove(fails);
  await eventually(
    "it is ready again",
    async () => (await networkReady(bench)).status || undefined,
  );
});

test("a start tells plugins which pods there are, asks after them, and keeps their addresses", async (bench) => {
  const { id } = await bench.sandbox({ name: "stays" });
  const gone = await bench.sandbox({ name: "goes" });
  await bench.runtime.removePodSandbox({ podSandboxId: gone.id });
  const before = await bench.runtime.podSandboxStatus({ podSandboxId: id });
  assert.deepEqual(before.status?.network?.ip, "10.9.8.7");
  assert.deepEqual(before.status?.network?.additionalIps, [{ ip: "fd00::7" }]);
  const calls = `${bench.node.directory}/plugins/calls`;
  await bench.restart("kill", { meanwhile: () => Deno.writeTextFile(calls, "") });
  const checked = await eventually(
    "the pod is looked at",
    async () => (await callsOf(bench, "CHECK"))[0],
  );
  assert.equal(checked.container, id);
  assert.deepEqual((checked.input["prevResult"] as { ips: unknown[] }).ips.length, 2);
  const [collected] = await callsOf(bench, "GC");
  assert.deepEqual(collected?.input["cni.dev/valid-attachments"], [
    { containerID: id, ifname: "eth0" },
  ]);
  const after = await bench.runtime.podSandboxStatus({ podSandboxId: id });
  assert.deepEqual(after.status, before.status);

  // What a plugin finds is for the log; the pod goes on.
  const fails = `${bench.node.directory}/plugins/fails`;
  await Deno.writeTextFile(fails, '{"code":100,"msg":"eth0 is not there"}');
  await bench.restart("kill");
  await eventually("it is told", async () => {
    const log = await Deno.readTextFile(bench.server.logPath);
    return log.includes("not as it was made") && log.includes("eth0 is not there") || undefined;
  });
  await Deno.remove(fails);
});
