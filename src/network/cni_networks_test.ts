import assert from "node:assert/strict";
import { DeadlineExceededError, InvalidArgumentError, UnavailableError } from "../errors/mod.ts";
import { newSandboxId } from "../model/mod.ts";
import { createLinuxKernel, NodeProcessRunner, PidfdWatcher, ProcTable } from "../sys/mod.ts";
import {
  attachmentIntent,
  attachmentResource,
  type AttachmentRooms,
} from "./attachment_resource.ts";
import { CniExec } from "./cni_exec.ts";
import { type CniList, parseCniList } from "./cni_list.ts";
import { CniNetworks } from "./cni_networks.ts";
import type { AttachRequest, ChosenNetwork } from "./networks.ts";
import { EnteredInterfaces } from "./pod_interfaces.ts";
import { ProcOrphanPlugins } from "./orphan_plugins.ts";
import { PluginDirectories } from "./plugin_paths.ts";
import { AskedPluginVersions } from "./plugin_versions.ts";

const kernel = createLinuxKernel();
const RESULT = '{"cniVersion":"1.0.0","ips":[{"address":"10.9.8.7/24"}]}';
/** A plugin that records each call: environment and standard input. */
const RECORD = `cat > "$0.$CNI_COMMAND.stdin"
/usr/bin/env > "$0.$CNI_COMMAND.env"
echo "$CNI_COMMAND $0" >> "\${0%/*}/calls"
`;

class Place implements AsyncDisposable {
  readonly request: AttachRequest = {
    sandboxId: newSandboxId(),
    podName: "pod",
    podNamespace: "ns",
    podUid: "uid",
    netnsPath: "/proc/self/ns/net",
    portMappings: [],
    annotations: {},
    cgroupParent: "/kubepods/x",
  };
  readonly networks: CniNetworks;
  /** The list that a new pod would get. */
  current: CniList | undefined;
  /** Whether the pod still has its interface; undefined if nobody can tell. */
  hasInterface: boolean | undefined = true;

  private constructor(readonly dir: string) {
    this.networks = new CniNetworks({
      kernel,
      config: {
        readiness: () => ({ ready: true }),
        choose: () => {
          throw new Error("not asked here");
        },
        current: () => this.current,
      },
      exec: new CniExec(new NodeProcessRunner(), new PluginDirectories([dir])),
      interfaces: { has: () => Promise.resolve(this.hasInterface) },
    });
  }

  static async make(): Promise<Place> {
    return new Place(await Deno.makeTempDir({ prefix: "sauropod-plugins-" }));
  }

  async plugin(name: string, script: string): Promise<void> {
    await Deno.writeTextFile(`${this.dir}/${name}`, `#!/bin/sh\n${script}`, { mode: 0o755 });
  }

  chain(...plugins: { type: string; [key: string]: unknown }[]): ChosenNetwork {
    return {
      name: "net",
      configuration: { cniVersion: "1.0.0", name: "net", plugins: plugins as never },
    };
  }

  attach(network: ChosenNetwork, request: Partial<AttachRequest> = {}, signal = guard()) {
    return this.networks.attach(network, { ...this.request, ...request }, signal);
  }

  detach(network: ChosenNetwork, request: Partial<AttachRequest> = {}) {
    return this.networks.detach(
      network,
      { ...this.request, ...request },
      JSON.parse(RESULT),
      guard(),
    );
  }

  read(name: string): string {
    return Deno.readTextFileSync(`${this.dir}/${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** How an attachment is undone where nothing else is there. */
function attachmentType(
  networks: AttachmentRooms["networks"],
  rooms: Partial<AttachmentRooms> = {},
) {
  return attachmentResource({
    networks,
    orphans: { end: () => Promise.resolve() },
    hostPorts: { leadTo: () => false },
    ledger: { release: () => {} },
    ...rooms,
  });
}

const guard = () => AbortSignal.timeout(30_000);

Deno.test("ADD hands each plugin the result before it, DEL goes backwards with the last", async () => {
  await using place = await Place.make();
  await place.plugin("first", `${RECORD}echo '{"cniVersion":"1.0.0","from":"first"}'`);
  await place.plugin("second", `${RECORD}echo '${RESULT}'`);
  const network = place.chain({ type: "first", key: 1 }, { type: "second" });
  const attachment = await place.attach(network);
  assert.deepEqual(attachment.ips, ["10.9.8.7"]);
  assert.deepEqual(attachment.result, JSON.parse(RESULT));
  assert.deepEqual(JSON.parse(place.read("first.ADD.stdin")), {
    type: "first",
    key: 1,
    name: "net",
    cniVersion: "1.0.0",
  });
  assert.deepEqual(JSON.parse(place.read("second.ADD.stdin")).prevResult, {
    cniVersion: "1.0.0",
    from: "first",
  });
  await place.detach(network);
  assert.deepEqual(JSON.parse(place.read("first.DEL.stdin")).prevResult, JSON.parse(RESULT));
  assert.deepEqual(
    place.read("calls").trim().split("\n").map((line) => line.replace(`${place.dir}/`, "")),
    ["ADD first", "ADD second", "DEL second", "DEL first"],
  );
});

Deno.test("a plugin's environment is complete and nothing of ours is in it", async () => {
  await using place = await Place.make();
  await place.plugin("p", `${RECORD}echo '${RESULT}'`);
  Deno.env.set("SAUROPOD_SECRET", "x");
  await place.attach(place.chain({ type: "p" }));
  Deno.env.delete("SAUROPOD_SECRET");
  const env = Object.fromEntries(
    place.read("p.ADD.env").trim().split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2)),
  );
  const { PWD: _shell, _: _last, SHLVL: _level, OLDPWD: _old, ...given } = env;
  assert.deepEqual(given, {
    CNI_COMMAND: "ADD",
    CNI_CONTAINERID: place.request.sandboxId,
    CNI_NETNS: "/proc/self/ns/net",
    CNI_IFNAME: "eth0",
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;` +
      `K8S_POD_INFRA_CONTAINER_ID=${place.request.sandboxId};K8S_POD_UID=uid`,
    CNI_PATH: place.dir,
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  });
});

Deno.test("a plugin is told what it declared a capability for, and no more", async () => {
  await using place = await Place.make();
  await place.plugin("plain", `${RECORD}echo '${RESULT}'`);
  await place.plugin("rich", `${RECORD}echo '${RESULT}'`);
  const capabilities = {
    portMappings: true,
    bandwidth: true,
    cgroupPath: true,
    "io.kubernetes.cri.pod-annotations": true,
    ipRanges: true,
    ips: true,
    mac: true,
    aliases: true,
  };
  const annotations = { "kubernetes.io/ingress-bandwidth": "1M" };
  await place.attach(place.chain({ type: "plain" }, { type: "rich", capabilities }), {
    annotations,
    portMappings: [{ protocol: "udp", containerPort: 53, hostPort: 5353, hostIp: "" }],
    podCidrs: ["10.1.0.0/24", "fd00:1::/64"],
    selection: { ips: ["10.1.0.7/24"], mac: "02:00:00:00:00:07" },
  });
  assert.equal(JSON.parse(place.read("plain.ADD.stdin")).runtimeConfig, undefined);
  assert.deepEqual(JSON.parse(place.read("rich.ADD.stdin")).runtimeConfig, {
    portMappings: [{ protocol: "udp", containerPort: 53, hostPort: 5353 }],
    bandwidth: { ingressRate: 1_000_000, ingressBurst: 34359738359 },
    ipRanges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00:1::/64" }]],
    ips: ["10.1.0.7/24"],
    mac: "02:00:00:00:00:07",
    cgroupPath: "/kubepods/x",
    "io.kubernetes.cri.pod-annotations": annotations,
  });
  assert.equal(JSON.parse(place.read("rich.ADD.stdin")).capabilities, undefined);
});

Deno.test("whether a plugin of the list opens host ports can be told before anything runs", async () => {
  await using place = await Place.make();
  const opens = (...plugins: { type: string }[]) =>
    place.networks.opensHostPorts(place.chain(...plugins));
  const portMappings = (value: unknown) => ({ type: "p", capabilities: { portMappings: value } });
  assert.equal(opens({ type: "first" }, portMappings(true)), true);
  assert.equal(opens({ type: "first" }, portMappings(false)), false);
  assert.equal(opens({ type: "portmap" }), false);
});

Deno.test("an address is not given back while host ports lead to it, and its claim ends with it", async () => {
  await using place = await Place.make();
  await place.plugin("p", RECORD);
  const { payload } = attachmentIntent(place.chain({ type: "p" }), place.request);
  const released: string[] = [];
  const ledger = { release: (id: string) => void released.push(id) };
  const undo = (leads: boolean) => {
    const type = attachmentType(place.networks, { hostPorts: { leadTo: () => leads }, ledger });
    return type.undo(type.parse(payload), {
      resource: { row: 1, owner: "x", kind: type.kind, payload, state: "done", bootId: "b" },
      sameBoot: true,
      signal: guard(),
    });
  };
  await assert.rejects(undo(true), UnavailableError);
  assert.throws(() => place.read("calls"), Deno.errors.NotFound);
  assert.deepEqual(released, []);
  await undo(false);
  assert.match(place.read("calls"), /DEL/);
  assert.deepEqual(released, [place.request.sandboxId]);
});

for (
  const [what, script, message] of [
    [
      "fails with an error object",
      `echo '{"code":7,"msg":"no address left"}'; exit 1`,
      /no address left \(code 7\)/,
    ],
    [
      "fails with words on standard error",
      "echo 'cannot open' >&2; exit 3",
      /exit status 3: cannot open/,
    ],
    ["crashes", "kill -SEGV $$", /ended by SIGSEGV/],
    ["prints garbage", "echo hello", /not a JSON object/],
    ["prints nothing", "true", /no result/],
    ["prints without end", "head -c 100000000 /dev/zero | tr '\\0' x", /more than 1048576 bytes/],
    ["gives no address", `echo '{"cniVersion":"1.0.0"}'`, /no address/],
  ] as const
) {
  Deno.test(`a plugin that ${what} is Unavailable and named with its network`, async () => {
    await using place = await Place.make();
    await place.plugin("bad", script);
    await assert.rejects(place.attach(place.chain({ type: "bad" })), (error: Error) => {
      assert.ok(error instanceof UnavailableError);
      assert.match(error.message, message);
      assert.match(error.message, /"net"/);
      if (what !== "gives no address") assert.match(error.message, /"bad"/);
      return true;
    });
  });
}

Deno.test("a plugin that hangs is killed with its children when the signal fires", async () => {
  await using place = await Place.make();
  await place.plugin("hang", 'echo $$ > "$0.pid"\nsleep 1000 &\necho $! > "$0.child"\nwait');
  const stop = new AbortController();
  const attaching = place.attach(place.chain({ type: "hang" }), {}, stop.signal);
  const started = () => {
    try {
      return place.read("hang.child").trim() !== "";
    } catch {
      return false;
    }
  };
  const limit = guard();
  while (!started()) {
    limit.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  stop.abort();
  await assert.rejects(attaching, DeadlineExceededError);
  const processes = new ProcTable(kernel);
  for (const file of ["hang.pid", "hang.child"]) {
    // A killed process that is nobody's child here is seen until the kernel has run its end.
    while (processes.identify(Number(place.read(file))) !== undefined) {
      limit.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
});

Deno.test("a missing plugin is named with the directories searched; once there, it works", async () => {
  await using place = await Place.make();
  const network = place.chain({ type: "late" });
  await assert.rejects(place.attach(network), (error: Error) => {
    assert.ok(error instanceof UnavailableError);
    assert.ok(error.message.includes('"late"') && error.message.includes(place.dir));
    return true;
  });
  await place.plugin("late", "exec false");
  await assert.rejects(place.attach(network), UnavailableError);
  await place.plugin("late.new", `echo '${RESULT}'`);
  await Deno.rename(`${place.dir}/late.new`, `${place.dir}/late`);
  assert.deepEqual((await place.attach(network)).ips, ["10.9.8.7"]);
});

Deno.test("a plugin with a path in its name is never run, not even from a record", async () => {
  await using place = await Place.make();
  await assert.rejects(place.detach(place.chain({ type: "../../bin/true" })), InvalidArgumentError);
});

Deno.test("names that could add CNI arguments are refused", async () => {
  await using place = await Place.make();
  await place.plugin("p", `${RECORD}echo '${RESULT}'`);
  for (const podName of ["a;IP=10.0.0.1", "a=b", "a\nb", "a\0b"]) {
    await assert.rejects(
      place.attach(place.chain({ type: "p" }), { podName }),
      InvalidArgumentError,
    );
  }
  assert.throws(() => place.read("calls"), Deno.errors.NotFound);
  await place.detach(place.chain({ type: "p" }), { podName: "a;IP=10.0.0.1" });
  assert.match(place.read("p.DEL.env"), /;K8S_POD_NAME=;/, "the undoing runs without them");
});

Deno.test("calls for one sandbox never overlap, those of others do", async () => {
  await using place = await Place.make();
  // Succeeds only if nobody else is inside for the same sandbox.
  await place.plugin(
    "p",
    `mkdir "$0.$CNI_CONTAINERID" || exit 9\nsleep 0.1\nrmdir "$0.$CNI_CONTAINERID"\necho '${RESULT}'`,
  );
  const network = place.chain({ type: "p" });
  await Promise.all([
    place.attach(network),
    place.detach(network),
    place.attach(network),
    place.attach(network, { sandboxId: newSandboxId() }),
  ]);
});

Deno.test("DEL stops at a failing plugin, so that no address is free while a port leads to it", async () => {
  await using place = await Place.make();
  await place.plugin("ipam", RECORD);
  await place.plugin("ports", `${RECORD}exit 1`);
  await assert.rejects(place.detach(place.chain({ type: "ipam" }, { type: "ports" })));
  assert.doesNotMatch(place.read("calls"), /ipam/);
});

Deno.test("a DEL that fails because the pod's interface is gone is run again without the namespace", async () => {
  await using place = await Place.make();
  await place.plugin("p", `${RECORD}test "$CNI_NETNS" = ""`);
  const network = place.chain({ type: "p" });
  for (const hasInterface of [true, undefined]) {
    place.hasInterface = hasInterface;
    await assert.rejects(place.detach(network), UnavailableError);
  }
  place.hasInterface = false;
  await place.detach(network);
  assert.match(place.read("p.DEL.env"), /^CNI_NETNS=$/m);
});

Deno.test("an interface of a namespace is there or not", async () => {
  const interfaces = new EnteredInterfaces(new NodeProcessRunner());
  // Only root enters namespaces, and nobody knows a missing one.
  if (Deno.uid() === 0) {
    assert.equal(await interfaces.has("/proc/self/ns/net", "lo", guard()), true);
    assert.equal(await interfaces.has("/proc/self/ns/net", "none0", guard()), false);
  }
  assert.equal(await interfaces.has("/proc/none", "lo", guard()), undefined);
});

Deno.test("DEL gets an empty namespace if the path is none, or was another boot's", async () => {
  await using place = await Place.make();
  await place.plugin("p", RECORD);
  const network = place.chain({ type: "p" });
  await Deno.writeTextFile(`${place.dir}/pin`, "");
  for (const netnsPath of [`${place.dir}/pin`, `${place.dir}/none`]) {
    await place.detach(network, { netnsPath });
    assert.match(place.read("p.DEL.env"), /^CNI_NETNS=$/m);
  }
  await place.detach(network);
  assert.match(place.read("p.DEL.env"), /^CNI_NETNS=\/proc\/self\/ns\/net$/m);

  const type = attachmentType(place.networks);
  const { payload } = attachmentIntent(network, place.request);
  const record = JSON.parse(JSON.stringify({ ...payload, result: JSON.parse(RESULT) }));
  await type.undo(type.parse(record), {
    resource: { row: 1, owner: "x", kind: type.kind, payload, state: "done", bootId: "earlier" },
    sameBoot: false,
    signal: guard(),
  });
  assert.match(place.read("p.DEL.env"), /^CNI_NETNS=$/m);
  assert.deepEqual(JSON.parse(place.read("p.DEL.stdin")).prevResult, JSON.parse(RESULT));
});

Deno.test("an ADD that a killed server left running is ended before DEL", async () => {
  await using place = await Place.make();
  await place.plugin("p", RECORD);
  const orphan = new Deno.Command("sh", {
    args: ["-c", "sleep 1000 & wait"],
    env: { CNI_CONTAINERID: place.request.sandboxId },
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const processes = new ProcTable(kernel);
  using watcher = new PidfdWatcher({ kernel, processes });
  const type = attachmentType(place.networks, {
    orphans: new ProcOrphanPlugins(processes, watcher),
  });
  const { payload } = attachmentIntent(place.chain({ type: "p" }), place.request);
  await type.undo(type.parse(payload), {
    resource: { row: 1, owner: "x", kind: type.kind, payload, state: "intended", bootId: "b" },
    sameBoot: true,
    signal: guard(),
  });
  assert.equal((await orphan.status).signal, "SIGKILL");
  assert.match(place.read("calls"), /DEL/);
});

Deno.test("a record of another shape is refused", () => {
  const type = attachmentType({ detach: () => Promise.resolve() });
  assert.throws(() => type.parse({ network: {} }), /record/);
});

const listOf = (cniVersion: string, more: Record<string, unknown>, ...types: string[]) =>
  parseCniList({
    name: "net",
    cniVersion,
    ...more,
    plugins: types.map((type) => ({ type, key: 1, capabilities: { mac: true } })),
  });

Deno.test("CHECK asks each plugin in order with the stored result, unless the list forbids it", async () => {
  await using place = await Place.make();
  await place.plugin("first", RECORD);
  await place.plugin("second", RECORD);
  const chain = place.chain({ type: "first" }, { type: "second" });
  const check = (configuration: Record<string, unknown>) =>
    place.networks.check(
      { ...chain, configuration: { ...chain.configuration, ...configuration } as never },
      place.request,
      JSON.parse(RESULT),
      guard(),
    );
  await check({ disableCheck: true });
  await check({ cniVersion: "0.3.1" });
  assert.throws(() => place.read("calls"), Deno.errors.NotFound);
  await check({});
  assert.match(place.read("calls"), /^CHECK \S+first\nCHECK \S+second\n$/);
  assert.deepEqual(JSON.parse(place.read("second.CHECK.stdin")).prevResult, JSON.parse(RESULT));
  assert.match(place.read("first.CHECK.env"), /^CNI_NETNS=\/proc\/self\/ns\/net$/m);
  await place.plugin(
    "first",
    `echo '{"code":100,"msg":"no eth0","details":"link not found"}'; exit 1`,
  );
  await assert.rejects(check({}), /"first".*failed at CHECK: no eth0; link not found \(code 100\)/);
});

Deno.test("STATUS asks plugins of 1.1 about no pod, and says what they say", async () => {
  await using place = await Place.make();
  await place.plugin("p", RECORD);
  const status = () => place.networks.status(guard());
  await status();
  place.current = listOf("1.0.0", {}, "p");
  await status();
  assert.throws(() => place.read("calls"), Deno.errors.NotFound);
  place.current = listOf("1.1.0", {}, "p");
  await status();
  assert.deepEqual(JSON.parse(place.read("p.STATUS.stdin")), {
    type: "p",
    key: 1,
    name: "net",
    cniVersion: "1.1.0",
  });
  assert.doesNotMatch(place.read("p.STATUS.env"), /CNI_CONTAINERID|CNI_NETNS|CNI_IFNAME|CNI_ARGS/);
  await place.plugin("p", `echo '{"code":50,"msg":"agent is down"}'; exit 1`);
  await assert.rejects(
    status(),
    /"p" of network "net" failed at STATUS: agent is down \(code 50\)/,
  );
});

Deno.test("GC tells each plugin of 1.1 which attachments are valid, past one that fails", async () => {
  await using place = await Place.make();
  await place.plugin("bad", `${RECORD}echo '{"msg":"cannot"}'; exit 1`);
  await place.plugin("good", RECORD);
  const asked: string[] = [];
  const collect = () =>
    place.networks.collectGarbage((name) => {
      asked.push(name);
      return Promise.resolve([place.request.sandboxId]);
    }, guard());
  for (
    const list of [
      undefined,
      listOf("1.0.0", {}, "good"),
      listOf("1.1.0", { disableGC: true }, "good"),
    ]
  ) {
    place.current = list;
    assert.deepEqual(await collect(), []);
  }
  assert.deepEqual(asked, []);
  place.current = listOf("1.1.0", {}, "bad", "good");
  const [problem, ...others] = await collect();
  assert.match(problem ?? "", /"bad" of network "net" failed at GC: cannot/);
  assert.deepEqual([others, asked], [[], ["net"]]);
  assert.deepEqual(JSON.parse(place.read("good.GC.stdin"))["cni.dev/valid-attachments"], [
    { containerID: place.request.sandboxId, ifname: "eth0" },
  ]);
});

Deno.test("while plugins collect garbage no pod gets a network or loses one", async () => {
  await using place = await Place.make();
  await place.plugin("p", `${RECORD}echo '${RESULT}'`);
  place.current = listOf("1.1.0", {}, "p");
  const { promise, resolve } = Promise.withResolvers<readonly []>();
  const collecting = place.networks.collectGarbage(() => promise, guard());
  const attaching = place.attach(place.chain({ type: "p" }));
  resolve([]);
  await Promise.all([collecting, attaching]);
  assert.match(place.read("calls"), /^GC \S+\nADD \S+\n$/);
});

Deno.test("a plugin is asked which versions it knows; one that does not tell has none to say", async () => {
  await using place = await Place.make();
  await place.plugin("new", `${RECORD}echo '{"cniVersion":"1.1.0","supportedVersions":["1.1.0"]}'`);
  await place.plugin("old", "exit 1");
  await place.plugin("odd", "echo '{\"supportedVersions\":7}'");
  const paths = new PluginDirectories([place.dir]);
  const exec = new CniExec(new NodeProcessRunner(), paths);
  const versions = new AskedPluginVersions(exec, paths);
  assert.deepEqual(await versions.supportedBy("new"), ["1.1.0"]);
  assert.deepEqual(await versions.supportedBy("new"), ["1.1.0"]);
  assert.match(place.read("calls"), /^VERSION \S+\n$/, "once, until it is replaced");
  assert.deepEqual(JSON.parse(place.read("new.VERSION.stdin")), { cniVersion: "1.1.0" });
  await place.plugin("new.next", `echo '{"supportedVersions":["1.0.0"]}'`);
  await Deno.rename(`${place.dir}/new.next`, `${place.dir}/new`);
  assert.deepEqual(await versions.supportedBy("new"), ["1.0.0"]);
  for (const name of ["old", "odd", "missing"]) {
    assert.equal(await versions.supportedBy(name), undefined, name);
  }
});
