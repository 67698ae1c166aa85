import assert from "node:assert/strict";
import { NamespaceMode, PodSandboxState } from "../../src/proto/mod.ts";
import { eventually, onWorkbench, refused, type Workbench } from "../support/workbench.ts";
import type { TestNode } from "../support/test_node.ts";

/**
 * The network's plugin becomes a shell script that writes down each ADD, waits while a file `hold`
 * exists, fails while a file `fail` exists, and then gives way to the bridge plugin.
 */
async function gateNetwork(node: TestNode): Promise<void> {
  const bin = `${node.directory}/plugins`;
  await Deno.mkdir(bin);
  await Deno.writeTextFile(
    `${bin}/gated-bridge`,
    `#!/bin/sh
cd ${bin} || exit 1
if [ "$CNI_COMMAND" = ADD ]; then
  echo "$CNI_CONTAINERID" >> adds
  while [ -e hold ]; do sleep 0.05; done
  if [ -e fail ]; then
    echo '{"cniVersion":"1.0.0","code":100,"msg":"told to fail"}'
    exit 1
  fi
fi
exec /usr/lib/cni/bridge
`,
    { mode: 0o755 },
  );
  await edit(`${node.directory}/cni/10-test.conflist`, `"bridge",`, `"gated-bridge",`);
  await edit(node.configPath, `["/usr/lib/cni"]`, `["/usr/lib/cni", "${bin}"]`);
}

async function edit(path: string, from: string, to: string): Promise<void> {
  const text = await Deno.readTextFile(path);
  assert.ok(text.includes(from));
  await Deno.writeTextFile(path, text.replace(from, to));
}

/** Holds every ADD that comes, until it is disposed of. */
async function holdNetwork({ node }: Workbench): Promise<
  AsyncDisposable & { added(count: number): Promise<void> }
> {
  const bin = `${node.directory}/plugins`;
  await Deno.writeTextFile(`${bin}/adds`, "");
  await Deno.writeTextFile(`${bin}/hold`, "");
  return {
    async added(count) {
      await eventually(`the plugin is called ${count} times`, async () => {
        const adds = (await Deno.readTextFile(`${bin}/adds`)).split("\n").length - 1;
        assert.ok(adds <= count, "no more calls than expected");
        return adds === count || undefined;
      });
    },
    [Symbol.asyncDispose]: () => Deno.remove(`${bin}/hold`).catch(() => {}),
  };
}

const test = onWorkbench({ prepare: gateNetwork });

test("an identical RunPodSandbox joins the one under way and gets the same id", async (bench) => {
  const config = bench.sandboxConfig();
  await using hold = await holdNetwork(bench);
  const first = bench.runtime.runPodSandbox({ config });
  await hold.added(1);
  const second = bench.runtime.runPodSandbox({ config });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual((await bench.runtime.listPodSandbox({})).items, [], "half made, so not listed");
  await hold[Symbol.asyncDispose]();
  assert.equal((await first).podSandboxId, (await second).podSandboxId);
  await hold.added(1);
});

test("a RunPodSandbox with other content than the one under way is refused with its id", async (bench) => {
  const name = "other-content";
  await using hold = await holdNetwork(bench);
  const first = bench.runtime.runPodSandbox({ config: bench.sandboxConfig({ name }) });
  await hold.added(1);
  const other = bench.sandboxConfig({ name, pod: { hostname: "else" } });
  const refusal = bench.runtime.runPodSandbox({ config: other }).then(
    () => assert.fail("it was answered"),
    (error: Error) => error.message,
  );
  const message = await refusal;
  await hold[Symbol.asyncDispose]();
  const { podSandboxId } = await first;
  assert.match(message, /ALREADY_EXISTS/);
  assert.ok(message.includes(podSandboxId), message);
});

test("a RunPodSandbox is answered with the id of the identical sandbox that is ready, and refused once it is stopped", async (bench) => {
  const { id, config } = await bench.sandbox();
  assert.equal((await bench.runtime.runPodSandbox({ config })).podSandboxId, id);
  const other = { ...config, labels: { changed: "yes" } };
  await refused(bench.runtime.runPodSandbox({ config: other }), "ALREADY_EXISTS", id);
  const handler = bench.runtime.runPodSandbox({ config, runtimeHandler: "runc" });
  await refused(handler, "ALREADY_EXISTS", id);
  await bench.runtime.stopPodSandbox({ podSandboxId: id });
  await refused(bench.runtime.runPodSandbox({ config }), "ALREADY_EXISTS", id, "no longer ready");
});

test("a client that gives up does not end the start, and its retry gets the sandbox", async (bench) => {
  const config = bench.sandboxConfig();
  await using hold = await holdNetwork(bench);
  const impatient = bench.runtime.runPodSandbox({ config }, { timeoutMs: 200 });
  await refused(impatient, "DEADLINE_EXCEEDED");
  await hold.added(1);
  const retry = bench.runtime.runPodSandbox({ config });
  await hold[Symbol.asyncDispose]();
  const { podSandboxId } = await retry;
  await hold.added(1);
  const { status } = await bench.runtime.podSandboxStatus({ podSandboxId });
  assert.equal(status?.state, PodSandboxState.SANDBOX_READY);
});

test("a start that fails is undone, says at which stage, and its name is free", async (bench) => {
  const config = bench.sandboxConfig();
  const fail = `${bench.node.directory}/plugins/fail`;
  await Deno.writeTextFile(fail, "");
  await refused(
    bench.runtime.runPodSandbox({ config }),
    "UNAVAILABLE",
    "told to fail",
    "stage: network-attach",
  );
  assert.deepEqual((await bench.runtime.listPodSandbox({})).items, []);
  assert.deepEqual(await bench.node.residue(), []);
  await Deno.remove(fail);
  const { podSandboxId } = await bench.runtime.runPodSandbox({
    config: { ...config, hostname: "another" },
  });
  assert.match(podSandboxId, /^[0-9a-f]{64}$/);
});

test("a unique prefix of an id stands for it, an ambiguous one is refused, an empty one too", async (bench) => {
  // Seventeen ids share a first digit somewhere.
  const ids = await Promise.all(
    Array.from({ length: 17 }, async () =>
      (await bench.sandbox({
        pod: { linux: { securityContext: { namespaceOptions: HOST } } },
      })).id),
  );
  const digit =
    [..."0123456789abcdef"].find((first) => ids.filter((id) => id.startsWith(first)).length > 1) ??
      "";
  for (const ask of [bench.runtime.podSandboxStatus, bench.runtime.stopPodSandbox]) {
    await refused(ask({ podSandboxId: digit }), "INVALID_ARGUMENT", "pod_sandbox_id", digit);
    await refused(ask({ podSandboxId: "" }), "INVALID_ARGUMENT", "pod_sandbox_id");
  }
  await refused(bench.runtime.removePodSandbox({ podSandboxId: "" }), "INVALID_ARGUMENT");
  const [first = ""] = ids;
  const { status } = await bench.runtime.podSandboxStatus({ podSandboxId: first.slice(0, 40) });
  assert.equal(status?.id, first);
});

const HOST = {
  network: NamespaceMode.NODE,
  pid: NamespaceMode.CONTAINER,
  ipc: NamespaceMode.POD,
} as const;

test("stopping and removing an unknown sandbox succeeds, asking about it does not", async (bench) => {
  const podSandboxId = "f".repeat(64);
  await bench.runtime.stopPodSandbox({ podSandboxId });
  await bench.runtime.removePodSandbox({ podSandboxId });
  await refused(bench.runtime.podSandboxStatus({ podSandboxId }), "NOT_FOUND", podSandboxId);
  const { id } = await bench.sandbox();
  await bench.runtime.stopPodSandbox({ podSandboxId: id });
  await bench.runtime.stopPodSandbox({ podSandboxId: id });
  await bench.runtime.removePodSandbox({ podSandboxId: id });
  await bench.runtime.removePodSandbox({ podSandboxId: id });
});

test("sandboxes are listed by id, state and labels, all of which must match", async (bench) => {
  const a = await bench.sandbox({ pod: { labels: { app: "a", tier: "x" } } });
  const b = await bench.sandbox({ pod: { labels: { app: "b", tier: "x" } } });
  await bench.runtime.stopPodSandbox({ podSandboxId: b.id });
  const listed = async (filter: Parameters<typeof bench.runtime.listPodSandbox>[0]) =>
    (await bench.runtime.listPodSandbox(filter)).items.map(({ id }) => id).sort();
  const both = [a.id, b.id].sort();
  assert.deepEqual(await listed({}), both);
  assert.deepEqual(await listed({ filter: { id: a.id.slice(0, 12) } }), [a.id]);
  const notReady = { state: PodSandboxState.SANDBOX_NOTREADY };
  assert.deepEqual(await listed({ filter: { state: notReady } }), [b.id]);
  assert.deepEqual(await listed({ filter: { labelSelector: { tier: "x" } } }), both);
  const wanted = { labelSelector: { tier: "x", app: "a" } };
  assert.deepEqual(await listed({ filter: wanted }), [a.id]);
  assert.deepEqual(await listed({ filter: { ...wanted, state: notReady } }), []);
  assert.deepEqual(await listed({ filter: { id: "unknown" } }), []);
});

test("a sandbox's status gives back what was asked for, and the address that the network gave", async (bench) => {
  const { id, config } = await bench.sandbox({
    pod: { labels: { "a.b/c": "d", empty: "" }, annotations: { note: "line one\nline two" } },
  });
  const before = (await bench.runtime.podSandboxStatus({ podSandboxId: id })).status;
  assert.deepEqual(before?.metadata, config.metadata);
  assert.deepEqual(before?.labels, config.labels);
  assert.deepEqual(before?.annotations, config.annotations);
  assert.deepEqual(
    before?.linux?.namespaces?.options,
    config.linux?.securityContext?.namespaceOptions,
  );
  assert.match(before?.network?.ip ?? "", /^10\.\d+\.\d+\.\d+$/);
  await bench.restart("kill");
  const after = (await bench.runtime.podSandboxStatus({ podSandboxId: id })).status;
  assert.deepEqual(after, before, "the same after a restart");
});

test("an unknown runtime handler is refused by name, before anything is made", async (bench) => {
  const config = bench.sandboxConfig();
  await refused(
    bench.runtime.runPodSandbox({ config, runtimeHandler: "nosuch" }),
    "NOT_FOUND",
    "nosuch",
    "runtime_handler",
  );
  await refused(
    bench.runtime.runPodSandbox({ config, runtimeHandler: "../runc" }),
    "INVALID_ARGUMENT",
    "runtime_handler",
  );
  assert.deepEqual(await bench.node.residue(), []);
});

test("a field that is not built yet is UNIMPLEMENTED by name, and nothing is made", async (bench) => {
  const field = "config.linux.security_context";
  const asking = (securityContext: object) =>
    bench.runtime.runPodSandbox({
      config: bench.sandboxConfig({ pod: { linux: { securityContext } } }),
    });
  const options = { network: NamespaceMode.POD, ipc: NamespaceMode.POD };
  await refused(
    asking({ namespaceOptions: { ...options, pid: 1, usernsOptions: { mode: 0 } } }),
    "UNIMPLEMENTED",
    `${field}.namespace_options.userns_options`,
  );
  await refused(
    asking({ selinuxOptions: { level: "s0" } }),
    "UNIMPLEMENTED",
    `${field}.selinux_options`,
  );
  assert.deepEqual((await bench.runtime.listPodSandbox({})).items, []);
  assert.deepEqual(await bench.node.residue(), []);
});

test("a method that comes later is UNIMPLEMENTED, by name and with what to use until then", async (bench) => {
  const later = [
    "containerStats",
    "listContainerStats",
    "streamContainerStats",
    "podSandboxStats",
    "listPodSandboxStats",
    "streamPodSandboxStats",
    "listMetricDescriptors",
    "listPodSandboxMetrics",
    "streamPodSandboxMetrics",
    "checkpointContainer",
    "checkpointPod",
    "restorePod",
  ] as const;
  for (const method of later) {
    const name = method[0]?.toUpperCase() + method.slice(1);
    await refused(bench.runtime[method]({}), "UNIMPLEMENTED", name, "remedy");
  }
});

test("a request that says too little or too much is refused by field", async (bench) => {
  const good = bench.sandboxConfig();
  const metadata = { name: "n", namespace: "d", uid: "u", attempt: 0 };
  const wrong: [object, string][] = [
    [{ metadata: undefined }, "config.metadata"],
    [{ metadata: { ...metadata, name: "" } }, "config.metadata.name"],
    [{ metadata: { ...metadata, uid: "../u" } }, "config.metadata.uid"],
    [{ metadata: { ...metadata, namespace: "a\nb" } }, "config.metadata.namespace"],
    [{ metadata: { ...metadata, name: "a\0" } }, "config.metadata.name"],
    [{ logDirectory: "relative" }, "config.log_directory"],
    [{ logDirectory: "/var/log/../../etc" }, "config.log_directory"],
    [{ hostname: "a b" }, "config.hostname"],
    [{ dnsConfig: { servers: ["not an address"] } }, "config.dns_config.servers"],
    [{ portMappings: [{ protocol: 99 }] }, "config.port_mappings"],
    [{ linux: { ...good.linux, cgroupParent: "/a/../b" } }, "config.linux.cgroup_parent"],
    [{ linux: { ...good.linux, cgroupParent: "kube.slice" } }, "config.linux.cgroup_parent"],
  ];
  for (const [part, field] of wrong) {
    const config = { ...good, ...part };
    await refused(bench.runtime.runPodSandbox({ config } as never), "INVALID_ARGUMENT", field);
  }
  await refused(bench.runtime.runPodSandbox({}), "INVALID_ARGUMENT", "config");
  assert.deepEqual((await bench.runtime.listPodSandbox({})).items, []);
});

test("Status says why the network is not ready, and notices when its configuration appears", async (bench) => {
  const { node } = bench;
  const [conf, aside] = [`${node.directory}/cni/10-test.conflist`, `${node.directory}/aside`];
  const ready = async () =>
    (await bench.runtime.status({})).status?.conditions.find(({ type }) => type === "NetworkReady");
  assert.equal((await ready())?.status, true);
  await Deno.rename(conf, aside);
  const missing = await eventually("the network is not ready", async () => {
    const condition = await ready();
    return condition?.status === false ? condition : undefined;
  });
  assert.equal(missing.reason, "NetworkPluginNotReady");
  assert.ok(missing.message.includes(`${node.directory}/cni`), missing.message);
  await refused(
    bench.runtime.runPodSandbox({ config: bench.sandboxConfig() }),
    "UNAVAILABLE",
    `${node.directory}/cni`,
  );
  await bench.sandbox({ pod: { linux: { securityContext: { namespaceOptions: HOST } } } });
  await Deno.rename(aside, conf);
  await eventually("the network is ready", async () => (await ready())?.status || undefined);
  await bench.sandbox();
});
