/** What pods and the kubelet ask of the network, as its plugins get it; and a plugin that never answers. */
import assert from "node:assert/strict";
import { eventually, onWorkbench, refused, type Workbench } from "../support/workbench.ts";

const NAME = "asked";
const KEY = "v1.multus-cni.io/default-network";
/** Long enough for a plugin that answers on a loaded machine, short enough to wait for. */
const NETWORK_DEADLINE_MS = 10_000;

/** Notes what it gets for ADD and DEL; for a pod named stuck its ADD, and what that started, never ends. */
const PLUGIN = `#!/bin/sh
here=\${0%/*}
input=$(/bin/cat)
printf '%s %s\\n' "$CNI_COMMAND" "$input" >>"$here/calls"
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}';;
  ADD)
    case $CNI_ARGS in *K8S_POD_NAME=stuck\\;*) /bin/sleep 10000 & echo $! >"$here/stuck"; wait;; esac
    echo '{"cniVersion":"1.0.0","ips":[{"address":"10.9.8.7/24"}]}';;
esac
`;

const test = onWorkbench({
  start: { faultGate: `deadline:run-pod-sandbox.network-attach=${NETWORK_DEADLINE_MS}` },
  prepare: async (node) => {
    const plugins = `${node.directory}/plugins`;
    await Deno.mkdir(plugins);
    await Deno.writeTextFile(`${plugins}/recorder`, PLUGIN, { mode: 0o755 });
    const config = (await Deno.readTextFile(node.configPath))
      .replace('"/usr/lib/cni"', `"${plugins}"`)
      .replace("runtime_path =", `allowed_annotations = ["${KEY}"]\nruntime_path =`);
    await Deno.writeTextFile(node.configPath, config);
    await Deno.writeTextFile(
      `${node.directory}/cni/10-test.conflist`,
      JSON.stringify({
        cniVersion: "1.0.0",
        name: NAME,
        plugins: [{ type: "recorder", capabilities: { ipRanges: true, ips: true, mac: true } }],
      }),
    );
  },
});

/** The `runtimeConfig` of each call of a command since the last time. */
async function toldAt(command: string, { node }: Workbench): Promise<unknown[]> {
  const path = `${node.directory}/plugins/calls`;
  const lines = (await Deno.readTextFile(path)).split("\n").slice(0, -1);
  await Deno.writeTextFile(path, "");
  return lines.filter((line) => line.startsWith(`${command} `))
    .map((line) => JSON.parse(line.slice(command.length + 1)).runtimeConfig);
}

/** Gone, or left to the machine's first process, which reaps when it likes. */
function hasEnded(pid: string): boolean {
  try {
    return /^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return true;
  }
}

const cidr = (podCidr: string) => ({ runtimeConfig: { networkConfig: { podCidr } } });

test("the pod CIDR of the kubelet reaches plugins as ipRanges, also after kill -9, and DEL gets the one of ADD", async (bench) => {
  await bench.runtime.updateRuntimeConfig(cidr("10.1.0.0/24,fd00:1::/64"));
  await bench.runtime.updateRuntimeConfig({});
  await refused(
    bench.runtime.updateRuntimeConfig(cidr("10.1.0.5/24")),
    "INVALID_ARGUMENT",
    'runtime_config.network_config.pod_cidr "10.1.0.5/24" is the address of a host',
  );
  await bench.restart("kill", {
    start: { faultGate: `deadline:run-pod-sandbox.network-attach=${NETWORK_DEADLINE_MS}` },
  });
  const { id } = await bench.sandbox();
  const ipRanges = [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00:1::/64" }]];
  assert.deepEqual(await toldAt("ADD", bench), [{ ipRanges }]);
  await bench.runtime.updateRuntimeConfig(cidr("10.2.0.0/24"));
  await bench.runtime.removePodSandbox({ podSandboxId: id });
  assert.deepEqual(await toldAt("DEL", bench), [{ ipRanges }]);
});

test("a pod that may asks for addresses by annotation; what nobody can give is refused before anything is made", async (bench) => {
  const asking = (value: object) => ({ pod: { annotations: { [KEY]: JSON.stringify([value]) } } });
  const wish = { ips: ["10.9.8.7/24"], mac: "02:00:00:00:00:07" };
  await bench.sandbox(asking({ name: NAME, ...wish }));
  const [told] = await toldAt("ADD", bench) as Record<string, unknown>[];
  assert.deepEqual({ ips: told?.["ips"], mac: told?.["mac"] }, wish);
  await refused(bench.sandbox(asking({ name: NAME, mac: "x" })), "INVALID_ARGUMENT", KEY, '"x"');
  await refused(bench.sandbox(asking({ name: "other", ...wish })), "INVALID_ARGUMENT", NAME);
  assert.deepEqual(await toldAt("ADD", bench), []);
});

test("a plugin that hangs fails its pod at the stage's deadline, by name, while others start", async (bench) => {
  const stuck = bench.sandbox({ name: "stuck" });
  const outcome = refused(
    stuck,
    "DEADLINE_EXCEEDED",
    /plugin "recorder" of network "asked" did not finish ADD in time/,
    "network-attach",
  );
  const pid = await eventually("the plugin hangs", async () => {
    const text = await Deno.readTextFile(`${bench.node.directory}/plugins/stuck`).catch(() => "");
    return text.trim() || undefined;
  });
  const { id } = await bench.sandbox({ name: "free" });
  const { items } = await bench.runtime.listPodSandbox({});
  assert.deepEqual(items.map((item) => item.id), [id], "it started while the other hung");
  await outcome;
  await eventually("what the plugin started has ended, too", () => hasEnded(pid) || undefined);
  await bench.runtime.removePodSandbox({ podSandboxId: id });
  assert.deepEqual(await bench.node.residue(), []);
});
