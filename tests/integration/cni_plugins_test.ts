/**
 * The reference plugins, those of Debian with CNI 1.0 and v1.9.1 with CNI 1.1: what each makes is looked
 * at in the kernel or by packets, and that DEL leaves nothing of it. VLAN, ipvlan and dummy devices are
 * not in every kernel; links between namespaces stand for network cards.
 */
import assert from "node:assert/strict";
import type { AttachRequest, CniNetworks } from "../../src/network/mod.ts";
import type { JsonObject } from "../../src/model/mod.ts";
import { unless } from "../support/skipping.ts";
import { DEBIAN_PLUGINS, guard, NetworkPlace } from "./network_place.ts";
import { newPlugins } from "./new_cni_plugins.ts";

const BRIDGE = "srpdplug0";
const built = await newPlugins();

interface PluginSet {
  readonly name: string;
  readonly directory: string;
  readonly cniVersion: string;
  readonly lacking: string | undefined;
}

const debian: PluginSet = {
  name: "Debian's",
  directory: DEBIAN_PLUGINS,
  cniVersion: "1.0.0",
  lacking: undefined,
};
const recent: PluginSet = {
  name: "v1.9.1",
  directory: "directory" in built ? built.directory : "",
  cniVersion: "1.1.0",
  lacking: "lacking" in built ? built.lacking : undefined,
};

/** A place whose networks use one set of plugins. */
class Lab implements AsyncDisposable {
  private constructor(readonly place: NetworkPlace, readonly set: PluginSet) {}

  static async make(set: PluginSet): Promise<Lab> {
    return new Lab(await NetworkPlace.make(), set);
  }

  networks(...plugins: JsonObject[]): Promise<CniNetworks> {
    return this.place.networks({
      cniVersion: this.set.cniVersion,
      plugins,
      directories: [this.set.directory],
    });
  }

  /** Attaches a pod; `detach` is to leave nothing behind, and to succeed when it is repeated. */
  async attach(networks: CniNetworks, name: string, parts: Partial<AttachRequest> = {}) {
    const pin = await this.place.pin(name);
    const request = this.place.request(pin, parts);
    const chosen = networks.choose();
    const { ips, result } = await networks.attach(chosen, request, guard());
    const detach = () => networks.detach(chosen, request, result, guard());
    const check = () => networks.check(chosen, request, result, guard());
    return { pin, request, ips, result, detach, check };
  }

  /** A network card of the host: one end of a cable whose other end leads to somebody else. */
  async card(name: string, address: string): Promise<string> {
    const { place } = this;
    const peer = await place.pin(`peer-of-${name}`);
    await place.onHost("ip", "link", "add", name, "type", "veth", "peer", "name", "far");
    await place.onHost("ip", "link", "set", "far", "netns", peer);
    await place.onHost("ip", "link", "set", name, "up");
    await place.inside(peer, "ip", "addr", "add", address, "dev", "far");
    await place.inside(peer, "ip", "link", "set", "far", "up");
    return peer;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.place[Symbol.asyncDispose]();
  }
}

for (const set of [debian, recent]) {
  const test = (name: string, body: (lab: Lab) => Promise<void>) =>
    Deno.test({
      ...unless(set.lacking, `${set.name} plugins: ${name}`),
      async fn() {
        await using lab = await Lab.make(set);
        await body(lab);
      },
    });

  test("a list of five gives two families, limits, settings and host ports, and takes all away", async (lab) => {
    const { place } = lab;
    const networks = await lab.networks(
      {
        type: "bridge",
        bridge: BRIDGE,
        isGateway: true,
        ipMasq: true,
        ipam: place.ipam("10.203.9.0/24", "fd00:203:9::/64"),
      },
      { type: "tuning", sysctl: { "net.ipv4.conf.eth0.arp_filter": "1" }, mtu: 1400 },
      { type: "firewall", backend: "iptables" },
      { type: "bandwidth", capabilities: { bandwidth: true } },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    );
    const annotations = {
      "kubernetes.io/ingress-bandwidth": "10M",
      "kubernetes.io/egress-bandwidth": "20M",
    };
    const portMappings = [
      { protocol: "tcp", containerPort: 80, hostPort: 8080, hostIp: "" },
      { protocol: "udp", containerPort: 80, hostPort: 5300, hostIp: "" },
    ] as const;
    const outside = await place.outside();
    const rulesBefore = await place.onHost("iptables-save");
    const pod = await lab.attach(networks, "pod", { annotations, portMappings });
    assert.deepEqual(pod.ips, ["10.203.9.2", "fd00:203:9::2"]);
    // Debian's portmap looks for the rules of IPv4 among those of IPv6, and says they are missing.
    if (set !== debian) await pod.check();
    assert.match(await place.inside(pod.pin, "ip", "link", "show", "eth0"), /mtu 1400/);
    const setting = "/proc/sys/net/ipv4/conf/eth0/arp_filter";
    assert.equal(await place.inside(pod.pin, "cat", setting), "1\n");
    assert.match(await place.onHost("iptables-save"), /CNI-FORWARD .*10\.203\.9\.2\/32/);
    const limits = await place.onHost("tc", "qdisc", "show");
    assert.match(limits, /tbf .*rate 10Mbit/);
    assert.match(limits, /tbf .*rate 20Mbit/);

    await place.serve(pod.pin, "web", 80);
    assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8080), "web 192.0.2.2");
    assert.equal(await place.ask(outside, "udp", "192.0.2.1", 5300), "web 192.0.2.2");
    assert.match(await place.ask(place.host, "tcp", "127.0.0.1", 8080), /^web /);
    assert.match(await place.ask(place.host, "tcp", "fd00:203:9::2", 80), /^web /);
    // Out of the pod, with the host's address.
    await place.serve(outside, "far", 81);
    assert.equal(await place.ask(pod.pin, "tcp", "192.0.2.2", 81), "far 192.0.2.1");

    await pod.detach();
    await pod.detach();
    assert.deepEqual(place.leases(), []);
    assert.deepEqual(await place.veths(), []);
    assert.doesNotMatch(await place.onHost("tc", "qdisc", "show"), /tbf/);
    assert.doesNotMatch(rulesBefore, /10\.203\.9\./);
    assert.doesNotMatch(await place.onHost("iptables-save"), /10\.203\.9\.2/);
    assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8080), "");
  });

  test("CHECK tells of a pod whose address is gone, and disableCheck keeps it quiet", async (lab) => {
    const { place } = lab;
    const bridge = {
      type: "bridge",
      bridge: BRIDGE,
      isGateway: true,
      ipam: place.ipam("10.203.9.0/24"),
    };
    const pod = await lab.attach(await lab.networks(bridge), "pod");
    await pod.check();
    await place.inside(pod.pin, "ip", "addr", "flush", "dev", "eth0");
    await assert.rejects(pod.check(), /CNI plugin "bridge" of network "test" failed at CHECK/);
    await pod.detach();
    await pod.detach();
  });

  test("a range and a hardware address from outside the configuration reach host-local and tuning", async (lab) => {
    const { place } = lab;
    const networks = await lab.networks(
      {
        type: "bridge",
        bridge: BRIDGE,
        isGateway: true,
        capabilities: { ipRanges: true },
        ipam: { type: "host-local", dataDir: `${place.root}/ipam` },
      },
      { type: "tuning", capabilities: { mac: true } },
    );
    const mac = "02:00:00:00:09:07";
    const pod = await lab.attach(networks, "pod", {
      podCidrs: ["10.203.14.0/24", "fd00:203:14::/64"],
      selection: networks.selection(networks.choose(), {
        key: "v1.multus-cni.io/default-network",
        value: JSON.stringify([{ name: place.name, mac }]),
      }),
    });
    assert.deepEqual(pod.ips, ["10.203.14.2", "fd00:203:14::2"]);
    const shown = () => place.inside(pod.pin, "ip", "link", "show", "eth0");
    assert.ok((await shown()).includes(mac));
    await pod.check();
    await pod.detach();
    await pod.detach();
    assert.deepEqual([place.leases(), await place.veths()], [[], []]);
  });

  test("addresses that a pod asks for reach static", async (lab) => {
    const { place } = lab;
    const networks = await lab.networks({
      type: "bridge",
      bridge: BRIDGE,
      capabilities: { ips: true },
      ipam: { type: "static" },
    });
    const ips = ["10.203.15.77/24", "fd00:203:15::77/64"];
    const pod = await lab.attach(networks, "pod", { selection: { ips, mac: "" } });
    assert.deepEqual(pod.ips, ["10.203.15.77", "fd00:203:15::77"]);
    await pod.check();
    await pod.detach();
    await pod.detach();
    assert.deepEqual(await place.veths(), []);
  });

  test("ptp routes each pod by itself", async (lab) => {
    const { place } = lab;
    const networks = await lab.networks({ type: "ptp", ipam: place.ipam("10.203.10.0/24") });
    const pod = await lab.attach(networks, "pod");
    await pod.check();
    await place.serve(pod.pin, "pod", 80);
    assert.match(await place.ask(place.host, "tcp", pod.ips[0]!, 80), /^pod /);
    assert.match(await place.onHost("ip", "route"), new RegExp(`${pod.ips[0]} dev veth`));
    await pod.detach();
    await pod.detach();
    assert.deepEqual([place.leases(), await place.veths()], [[], []]);
  });

  test("macvlan puts the pod on the host's cable", async (lab) => {
    const { place } = lab;
    const peer = await lab.card("card0", "10.203.11.200/24");
    const networks = await lab.networks({
      type: "macvlan",
      master: "card0",
      mode: "bridge",
      ipam: place.ipam("10.203.11.0/24"),
    });
    const pod = await lab.attach(networks, "pod");
    await pod.check();
    await place.serve(peer, "peer", 80);
    assert.equal(await place.ask(pod.pin, "tcp", "10.203.11.200", 80), `peer ${pod.ips[0]}`);
    await pod.detach();
    await pod.detach();
    assert.deepEqual(place.leases(), []);
    assert.doesNotMatch(await place.inside(pod.pin, "ip", "link"), /eth0/);
  });

  test("host-device moves a card into the pod, and back to the host", async (lab) => {
    const { place } = lab;
    const peer = await lab.card("card1", "10.203.12.200/24");
    const networks = await lab.networks({
      type: "host-device",
      device: "card1",
      ipam: { type: "static", addresses: [{ address: "10.203.12.7/24" }] },
    });
    const pod = await lab.attach(networks, "pod");
    await pod.check();
    assert.deepEqual(pod.ips, ["10.203.12.7"]);
    await assert.rejects(place.onHost("ip", "link", "show", "card1"));
    await place.serve(peer, "peer", 80);
    assert.equal(await place.ask(pod.pin, "tcp", "10.203.12.200", 80), "peer 10.203.12.7");
    await pod.detach();
    await pod.detach();
    assert.match(await place.onHost("ip", "link", "show", "card1"), /card1/);
  });

  test("sbr gives the interface a table of routes of its own", async (lab) => {
    const { place } = lab;
    const networks = await lab.networks(
      {
        type: "bridge",
        bridge: BRIDGE,
        isGateway: true,
        ipam: place.ipam("10.203.13.0/24"),
      },
      { type: "sbr" },
    );
    const pod = await lab.attach(networks, "pod");
    const rules = await place.inside(pod.pin, "ip", "rule");
    const [, table] = /from 10\.203\.13\.2 lookup (\d+)/.exec(rules) ?? [];
    assert.ok(table !== undefined, rules);
    assert.match(
      await place.inside(pod.pin, "ip", "route", "show", "table", table),
      /default via 10\.203\.13\.1/,
    );
    await pod.detach();
    // Debian's cannot be asked twice, neither with a namespace nor without one.
    if (set !== debian) await pod.detach();
    assert.deepEqual([place.leases(), await place.veths()], [[], []]);
  });
}

Deno.test({
  ...unless(
    recent.lacking,
    "of the versions that a list offers, each set of plugins gets its newest",
  ),
  async fn() {
    for (const [set, wanted] of [[debian, "1.0.0"], [recent, "1.1.0"]] as const) {
      await using place = await NetworkPlace.make();
      const networks = await place.networks({
        cniVersion: "0.4.0",
        cniVersions: ["0.4.0", "1.0.0", "1.1.0"],
        plugins: [{ type: "bridge", bridge: BRIDGE, ipam: place.ipam("10.203.9.0/24") }],
        directories: [set.directory],
      });
      const chosen = networks.choose();
      assert.equal(chosen.configuration["cniVersion"], wanted, set.name);
      const request = place.request(await place.pin("pod"));
      const { result } = await networks.attach(chosen, request, guard());
      assert.equal(result["cniVersion"], wanted);
      await networks.detach(chosen, request, result, guard());
      await networks.status(guard());
      assert.deepEqual(await networks.collectGarbage(() => Promise.resolve([]), guard()), []);
    }
  },
});
