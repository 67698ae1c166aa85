/**
 * Networks with the distribution's CNI plugins. The plugins run inside a network namespace of the
 * test's own that stands for the host's, so that no bridge, rule or route ever reaches the real one.
 */
import assert from "node:assert/strict";
import { newSandboxId } from "../../src/model/mod.ts";
import {
  attachmentIntent,
  attachmentResource,
  type AttachRequest,
  CniConfig,
  CniExec,
  CniNetworks,
  PluginDirectories,
} from "../../src/network/mod.ts";
import {
  type Command,
  createLinuxKernel,
  InotifyWatcher,
  NodeProcessRunner,
  type ProcessRunner,
  WorkerNamespaces,
} from "../../src/sys/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";

const kernel = createLinuxKernel();
const PLUGINS = "/usr/lib/cni";
const BRIDGE = "srpdtest0";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const guard = () => AbortSignal.timeout(60_000);

async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command(command, { args }).output();
  assert.ok(success, `${command} ${args.join(" ")}: ${text(stderr)}`);
  return text(stdout);
}

/** Runs every program inside another network namespace. */
class InNamespace implements ProcessRunner {
  readonly #runner = new NodeProcessRunner();
  constructor(readonly pin: string) {}
  run(command: Command) {
    return this.#runner.run({
      ...command,
      path: "/usr/bin/nsenter",
      args: [`--net=${this.pin}`, command.path, ...command.args],
    });
  }
  spawn(): never {
    throw new Error("CNI plugins are run to their end");
  }
}

class Place implements AsyncDisposable {
  readonly #pins: string[] = [];
  readonly #watcher = new InotifyWatcher(kernel);
  readonly #namespaces = new WorkerNamespaces();
  #config: CniConfig | undefined;

  private constructor(readonly root: string) {}

  static async make(): Promise<Place> {
    const place = new Place(await Deno.makeTempDir({ prefix: "sauropod-net-" }));
    await place.pin("host");
    return place;
  }

  async pin(name: string): Promise<string> {
    const net = `${this.root}/${name}`;
    this.#pins.push(net);
    await this.#namespaces.create({ pins: { net }, sysctls: {} });
    return net;
  }

  release(pin: string): Promise<void> {
    return this.#namespaces.release(pin);
  }

  async networks(cniVersion: string): Promise<CniNetworks> {
    const configDir = `${this.root}/net.d`;
    await Deno.mkdir(configDir);
    await Deno.writeTextFile(
      `${configDir}/10-test.conflist`,
      JSON.stringify({
        cniVersion,
        name: "test",
        plugins: [{
          type: "bridge",
          bridge: BRIDGE,
          isGateway: true,
          ipMasq: true,
          ipam: {
            type: "host-local",
            ranges: [[{ subnet: "10.203.7.0/29" }]],
            routes: [{ dst: "0.0.0.0/0" }],
            dataDir: `${this.root}/ipam`,
          },
        }, { type: "portmap", capabilities: { portMappings: true } }],
      }),
    );
    const plugins = new PluginDirectories([PLUGINS]);
    this.#config = new CniConfig({
      configDir,
      defaultNetwork: "",
      plugins,
      watcher: this.#watcher,
      logger: silentLogger,
    });
    await this.#config.start();
    assert.deepEqual(this.#config.readiness(), { ready: true });
    const exec = new CniExec(new InNamespace(`${this.root}/host`), plugins);
    return new CniNetworks({ kernel, config: this.#config, exec });
  }

  request(netnsPath: string, hostPort?: number): AttachRequest {
    return {
      sandboxId: newSandboxId(),
      podName: "pod",
      podNamespace: "default",
      podUid: crypto.randomUUID(),
      netnsPath,
      portMappings: hostPort === undefined
        ? []
        : [{ protocol: "tcp", containerPort: 80, hostPort, hostIp: "" }],
      annotations: {},
      cgroupParent: "",
    };
  }

  inside(pin: string, command: string, ...args: string[]): Promise<string> {
    return output("nsenter", `--net=${pin}`, command, ...args);
  }

  onHost(command: string, ...args: string[]): Promise<string> {
    return this.inside(`${this.root}/host`, command, ...args);
  }

  /** Addresses that the IPAM plugin holds as taken. */
  leases(): string[] {
    try {
      return [...Deno.readDirSync(`${this.root}/ipam/test`)]
        .map(({ name }) => name)
        .filter((name) => /^[0-9.]+$/.test(name));
    } catch {
      return [];
    }
  }

  /** Rules of one pod: portmap leaves its empty common chains behind, which belong to no pod. */
  async rules(): Promise<string[]> {
    const saved = await this.onHost("iptables-save");
    return saved.split("\n").filter((line) => line.includes("10.203.7."));
  }

  async veths(): Promise<string[]> {
    const links: { ifname: string }[] = JSON.parse(
      await this.onHost("ip", "-json", "link", "show", "type", "veth"),
    );
    return links.map(({ ifname }) => ifname).filter((name) => name !== undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#config?.[Symbol.dispose]();
    this.#watcher[Symbol.dispose]();
    for (const pin of this.#pins.toReversed()) await this.#namespaces.release(pin);
    this.#namespaces[Symbol.dispose]();
    await Deno.remove(this.root, { recursive: true });
  }
}

/** What another test or program on this machine could see of ours. */
async function host(): Promise<Record<string, string | boolean>> {
  const rules = await output("iptables-save");
  const links = await output("ip", "-o", "link", "show");
  return { rules: rules.includes("10.203.7."), bridge: links.includes(BRIDGE) };
}

for (const cniVersion of ["0.3.1", "0.4.0", "1.0.0"]) {
  Deno.test(`a pod is attached and detached with version ${cniVersion}, leaving nothing`, async () => {
    const before = await host();
    {
      await using place = await Place.make();
      const networks = await place.networks(cniVersion);
      const pod = await place.pin("pod");
      const request = place.request(pod, 18080);
      const chosen = networks.choose();
      const attachment = await networks.attach(chosen, request, guard());
      assert.deepEqual(attachment.ips, ["10.203.7.2"]);
      assert.equal(attachment.network, "test");
      assert.match(
        await place.inside(pod, "ip", "-o", "addr", "show", "eth0"),
        /10\.203\.7\.2\/29/,
      );
      assert.match(await place.inside(pod, "ip", "route"), /default via 10\.203\.7\.1/);
      assert.ok((await place.rules()).some((rule) => rule.includes("--dport 18080")));
      assert.deepEqual(place.leases(), ["10.203.7.2"]);

      await networks.detach(chosen, request, attachment.result, guard());
      assert.deepEqual(place.leases(), []);
      assert.deepEqual(await place.rules(), []);
      assert.deepEqual(await place.veths(), []);
      await networks.detach(chosen, request, attachment.result, guard());
    }
    assert.deepEqual(await host(), before);
  });
}

Deno.test("pods attached at the same time get different addresses, and an exhausted range says so", async () => {
  await using place = await Place.make();
  const networks = await place.networks("1.0.0");
  const chosen = networks.choose();
  // A /29 with a gateway has room for five.
  const requests = await Promise.all(
    Array.from({ length: 5 }, async (_, index) => place.request(await place.pin(`pod${index}`))),
  );
  const attached = await Promise.all(
    requests.map((request) => networks.attach(chosen, request, guard())),
  );
  assert.equal(new Set(attached.map(({ ips }) => ips[0])).size, 5);
  const late = place.request(await place.pin("late"));
  await assert.rejects(
    networks.attach(chosen, late, guard()),
    /CNI plugin "bridge" of network "test" failed at ADD: .*no IP addresses available/,
  );
  await networks.detach(chosen, late, undefined, guard());
  await Promise.all(
    requests.map((request, index) =>
      networks.detach(chosen, request, attached[index]!.result, guard())
    ),
  );
  assert.deepEqual(place.leases(), []);
  assert.deepEqual(await place.veths(), []);
});

Deno.test("the address of a pod whose namespace is gone is given back", async () => {
  await using place = await Place.make();
  const networks = await place.networks("1.0.0");
  const chosen = networks.choose();
  const pod = await place.pin("pod");
  const request = place.request(pod, 18081);
  const { result } = await networks.attach(chosen, request, guard());
  await place.release(pod);
  await networks.detach(chosen, request, result, guard());
  assert.deepEqual(place.leases(), []);
  // The bridge plugin finds its masquerading rules through the namespace and leaves them without it.
  const rules = await place.rules();
  assert.deepEqual(rules.filter((rule) => rule.includes("18081")), []);
});

Deno.test("the record of an attachment gives the address back after a restart of the machine", async () => {
  await using place = await Place.make();
  const networks = await place.networks("1.0.0");
  const chosen = networks.choose();
  const pod = await place.pin("pod");
  const request = place.request(pod);
  const { payload, kind } = attachmentIntent(chosen, request);
  const { result } = await networks.attach(chosen, request, guard());
  const type = attachmentResource(networks, { end: () => Promise.reject(new Error("not asked")) });
  const stored = JSON.parse(JSON.stringify({ ...payload, result }));
  await type.undo(type.parse(stored), {
    resource: { row: 1, owner: request.sandboxId, kind, payload, state: "done", bootId: "earlier" },
    sameBoot: false,
    signal: guard(),
  });
  assert.deepEqual(place.leases(), []);
  assert.match(
    await place.inside(pod, "ip", "-o", "addr"),
    /10\.203\.7\.2/,
    "no namespace is touched",
  );
});

Deno.test("an attachment that was never made is undone without an error", async () => {
  await using place = await Place.make();
  const networks = await place.networks("1.0.0");
  const pod = await place.pin("pod");
  await networks.detach(networks.choose(), place.request(pod, 18082), undefined, guard());
  assert.deepEqual(place.leases(), []);
});
