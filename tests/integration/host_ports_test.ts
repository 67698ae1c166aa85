/**
 * Host ports by our own rules, with packets: from outside, from the host, from its loopback, from a
 * neighbour and from the pod itself.
 */
import assert from "node:assert/strict";
import type {
  CniNetworks,
  HostPortEntry,
  NftHostPorts,
  PortMapping,
} from "../../src/network/mod.ts";
import { guard, NetworkPlace } from "./network_place.ts";

const BRIDGE = "srpdports0";
const tcp = (hostPort: number, parts: Partial<PortMapping> = {}): PortMapping => ({
  protocol: "tcp",
  containerPort: 80,
  hostPort,
  hostIp: "",
  ...parts,
});

interface Pod {
  readonly pin: string;
  readonly entry: HostPortEntry;
  readonly ips: readonly string[];
}

class Ports implements AsyncDisposable {
  private constructor(
    readonly place: NetworkPlace,
    readonly networks: CniNetworks,
    readonly ports: NftHostPorts,
  ) {}

  static async make(type: "bridge" | "ptp" = "bridge"): Promise<Ports> {
    const place = await NetworkPlace.make();
    await place.onHost("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
    const networks = await place.networks({
      plugins: [{
        type,
        ...(type === "bridge" ? { bridge: BRIDGE, isGateway: true } : {}),
        ipam: place.ipam("10.203.8.0/24", "fd00:203:8::/64"),
      }],
    });
    return new Ports(place, networks, place.hostPorts());
  }

  async pod(name: string, ...mappings: PortMapping[]): Promise<Pod> {
    const pin = await this.place.pin(name);
    const request = this.place.request(pin, { portMappings: mappings });
    const attachment = await this.networks.attach(this.networks.choose(), request, guard());
    const entry = this.ports.plan(request.sandboxId, mappings, attachment);
    await this.ports.open(entry, guard());
    await this.place.serve(pin, name, 80);
    return { pin, entry, ips: attachment.ips };
  }

  async table(): Promise<string> {
    return await this.place.onHost("nft", "list", "ruleset");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.place[Symbol.asyncDispose]();
  }
}

for (const type of ["bridge", "ptp"] as const) {
  Deno.test(`with ${type}, a host port leads to the pod from everywhere, and nowhere once closed`, async () => {
    await using house = await Ports.make(type);
    const { place } = house;
    const outside = await place.outside();
    const udp = tcp(5300, { protocol: "udp" });
    const web = await house.pod("web", tcp(8080), udp, tcp(9, { protocol: "sctp" }));
    const neighbour = await house.pod("neighbour", tcp(8081));
    const [from4, from6] = [web.ips[0]!, web.ips[1]!];

    // Who asks from outside is seen as who they are.
    assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8080), "web 192.0.2.2");
    assert.equal(await place.ask(outside, "udp", "192.0.2.1", 5300), "web 192.0.2.2");
    assert.equal(await place.ask(outside, "tcp", "2001:db8::1", 8080), "web 2001:db8::2");
    assert.equal(await place.ask(outside, "udp", "2001:db8::1", 5300), "web 2001:db8::2");
    // The host, by its addresses and by its loopback.
    assert.match(await place.ask(place.host, "tcp", "192.0.2.1", 8080), /^web /);
    assert.match(await place.ask(place.host, "tcp", "2001:db8::1", 8080), /^web /);
    assert.match(await place.ask(place.host, "tcp", "127.0.0.1", 8080), /^web 10\.203\.8\./);
    assert.match(await place.ask(place.host, "udp", "127.0.0.1", 5300), /^web 10\.203\.8\./);
    // Another pod of the same network, and the pod itself: by way of the host in both directions.
    assert.match(await place.ask(neighbour.pin, "tcp", "192.0.2.1", 8080), /^web /);
    assert.match(await place.ask(neighbour.pin, "udp", "192.0.2.1", 5300), /^web /);
    assert.match(await place.ask(neighbour.pin, "tcp", "2001:db8::1", 8080), /^web /);
    assert.match(await place.ask(web.pin, "tcp", "192.0.2.1", 8080), /^web /);
    assert.match(await place.ask(web.pin, "udp", "192.0.2.1", 5300), /^web /);
    // Other ports stay what they were, in the host and between pods.
    assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 80), "");
    assert.equal(await place.ask(neighbour.pin, "tcp", from4, 80), `web ${neighbour.ips[0]}`);
    assert.equal(await place.ask(neighbour.pin, "tcp", from6, 80), `web ${neighbour.ips[1]}`);
    // SCTP as rules: this kernel may not speak it.
    assert.match(await house.table(), new RegExp(`sctp . 9 comment "${web.entry.sandboxId}"`));

    await house.ports.close(web.entry.sandboxId, guard());
    assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8080), "");
    assert.equal(await place.ask(outside, "udp", "192.0.2.1", 5300), "");
    assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8081), "neighbour 192.0.2.2");
    assert.doesNotMatch(await house.table(), new RegExp(web.entry.sandboxId));
    await house.ports.close(neighbour.entry.sandboxId, guard());
    assert.doesNotMatch(await house.table(), /sauropod-test/);
  });
}

Deno.test("a port of one address of the host is not open on another, and both may lead elsewhere", async () => {
  await using house = await Ports.make();
  const { place } = house;
  const outside = await place.outside();
  await house.pod("loopback", tcp(8080, { hostIp: "127.0.0.1" }));
  await house.pod("four", tcp(8080, { hostIp: "192.0.2.1" }));
  await house.pod("six", tcp(8080, { hostIp: "2001:db8::1" }));
  await house.pod("all", tcp(8081, { hostIp: "0.0.0.0" }), tcp(8082, { hostIp: "::" }));
  assert.match(await place.ask(place.host, "tcp", "127.0.0.1", 8080), /^loopback /);
  assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8080), "four 192.0.2.2");
  assert.equal(await place.ask(outside, "tcp", "2001:db8::1", 8080), "six 2001:db8::2");
  assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8081), "all 192.0.2.2");
  assert.equal(await place.ask(outside, "tcp", "2001:db8::1", 8081), "");
  assert.equal(await place.ask(outside, "tcp", "2001:db8::1", 8082), "all 2001:db8::2");
});

Deno.test("a pod reaches no service on the host's loopback, and cannot pose as it", async () => {
  await using house = await Ports.make();
  const { place } = house;
  await place.serve(place.host, "private", 7000);
  const { pin } = await house.pod("web", tcp(8080));
  assert.match(await place.ask(place.host, "tcp", "127.0.0.1", 8080), /^web /);
  assert.match(await place.onHost("cat", `/proc/sys/net/ipv4/conf/${BRIDGE}/route_localnet`), /^1/);
  // What a pod would do: send packets for 127.0.0.1 to the bridge.
  await place.inside(pin, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1");
  await place.inside(pin, "ip", "rule", "add", "pref", "0", "lookup", "77");
  await place.inside(pin, "ip", "rule", "add", "pref", "1", "lookup", "local");
  await place.inside(pin, "ip", "rule", "delete", "pref", "0", "lookup", "local");
  await place.inside(pin, "ip", "route", "add", "127.0.0.9/32", "via", "10.203.8.1", "table", "77");
  assert.equal(await place.ask(pin, "tcp", "127.0.0.9", 7000), "");
  // With the guard away the same packets arrive: this is what it is for.
  await place.onHost("nft", "flush", "chain", "inet", "sauropod-test", "loopback-guard");
  assert.match(await place.ask(pin, "tcp", "127.0.0.9", 7000), /^private /);
});

Deno.test("rules that are missing at a start are added again, and those of nobody removed", async () => {
  await using house = await Ports.make();
  const { place } = house;
  const outside = await place.outside();
  const web = await house.pod("web", tcp(8080));
  const gone = await house.pod("gone", tcp(8081));
  await place.onHost("nft", "delete", "table", "inet", "sauropod-test");
  assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8080), "");
  const started = place.hostPorts();
  started.load(web.entry);
  await started.reconcile(guard());
  assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8080), "web 192.0.2.2");

  await house.ports.open(gone.entry, guard());
  assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8081), "gone 192.0.2.2");
  const again = place.hostPorts();
  again.load(web.entry);
  await again.reconcile(guard());
  assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8081), "");
  assert.equal(await place.ask(outside, "tcp", "192.0.2.1", 8080), "web 192.0.2.2");
  const empty = place.hostPorts();
  await empty.reconcile(guard());
  assert.doesNotMatch(await house.table(), /sauropod-test/);
});

Deno.test("a client of UDP that keeps its port is led to the next pod", async () => {
  await using house = await Ports.make();
  const { place } = house;
  const outside = await place.outside();
  const udp = tcp(5300, { protocol: "udp" });
  const first = await house.pod("first", udp);
  // Connection tracking knows the flow from now on: the same port on both sides.
  const ask = (name: string) =>
    place.inside(
      outside,
      Deno.execPath(),
      "eval",
      "--unstable-net",
      `const s = Deno.listenDatagram({ transport: "udp", hostname: "192.0.2.2", port: 4000 });
       await s.send(new TextEncoder().encode("x"),
         { transport: "udp", hostname: "192.0.2.1", port: 5300 });
       const late = setTimeout(() => { console.log("nothing"); Deno.exit() }, 20000);
       console.log(new TextDecoder().decode((await s.receive())[0]));
       clearTimeout(late);`,
    ).then((answer) => assert.match(answer, new RegExp(`^${name} `)));
  await ask("first");
  await house.ports.close(first.entry.sandboxId, guard());
  await house.pod("second", udp);
  await ask("second");
});
