import assert from "node:assert/strict";
import { FailedPreconditionError, InternalError, UnavailableError } from "../errors/mod.ts";
import { type JsonObject, newSandboxId, type SandboxId } from "../model/mod.ts";
import type { Command, CommandResult, ProcessRunner } from "../sys/process_runner.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { ConntrackFlows } from "./conntrack.ts";
import { hostPortRuleset } from "./host_port_rules.ts";
import type { HostPortEntry } from "./host_ports.ts";
import { hostPortsIntent, parseHostPorts } from "./host_ports_resource.ts";
import { Nft } from "./nft.ts";
import { NftHostPorts } from "./nft_host_ports.ts";
import type { PortMapping } from "./networks.ts";

const ID = "ab".repeat(32) as SandboxId;
const WEB: PortMapping = { protocol: "tcp", containerPort: 80, hostPort: 8080, hostIp: "" };
const RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "cni0" }, { name: "veth1" }, { name: "eth0", sandbox: "/ns" }],
  ips: [
    { address: "10.0.0.2/24", interface: 2 },
    { address: "fd00::2/64", interface: 2 },
    { address: "10.0.0.3/24", interface: 2 },
  ],
};

/** A node whose nft only notes what it is given. */
class Bench implements ProcessRunner {
  readonly rulesets: string[] = [];
  readonly conntrack: string[] = [];
  readonly localnet = new Map([["cni0", false]]);
  readonly hairpins: string[] = [];
  installed = true;
  hasTable = true;
  failing = false;
  /** Held up until it resolves. */
  gate: Promise<void> = Promise.resolve();
  forgetting: (signal: AbortSignal | undefined) => Promise<void> = () => Promise.resolve();
  readonly ports = new NftHostPorts({
    nft: new Nft(this, () => this.installed ? "/sbin/nft" : undefined),
    table: "t",
    interfaces: {
      kind: (name) =>
        name === "veth1" ? "bridge-port" : this.localnet.has(name) ? "routed" : undefined,
      routesLoopback: (name) => this.localnet.get(name) === true,
      routeLoopback: (name, on) => void this.localnet.set(name, on),
      hairpin: (name) => void this.hairpins.push(name),
    },
    flows: new ConntrackFlows(this, silentLogger, () => "/sbin/conntrack"),
    log: silentLogger,
  });

  async run({ path, args, stdin, signal }: Command): Promise<CommandResult> {
    const answer = (exitCode: number, stderr = "") => ({
      exitCode,
      endedBy: null,
      stdout: new Uint8Array(),
      stderr: new TextEncoder().encode(stderr),
      truncated: false,
    });
    if (path === "/sbin/conntrack") {
      this.conntrack.push(args.join(" "));
      await this.forgetting(signal);
      return answer(1);
    }
    if (args[0] === "list") return answer(this.hasTable ? 0 : 1);
    assert.deepEqual(args, ["-f", "-"]);
    await this.gate;
    this.rulesets.push(new TextDecoder().decode(stdin));
    return this.failing ? answer(1, "Error: no such\nthing") : answer(0);
  }

  spawn(): never {
    throw new Error("nft is run to its end");
  }

  get last(): string {
    return this.rulesets.at(-1) ?? "";
  }

  plan(mappings: readonly PortMapping[] = [WEB], result: JsonObject = RESULT, id = newSandboxId()) {
    return this.ports.plan(id, mappings, { network: "n", ips: ["10.0.0.2"], result });
  }
}

const guard = () => AbortSignal.timeout(30_000);

Deno.test("the ruleset leads each port of the host to the pod, and masquerades loopback and neighbours", () => {
  const entry: HostPortEntry = {
    sandboxId: ID,
    mappings: [
      WEB,
      { protocol: "udp", containerPort: 53, hostPort: 53, hostIp: "127.0.0.1" },
      { protocol: "sctp", containerPort: 9, hostPort: 9, hostIp: "fd00::1" },
      { protocol: "tcp", containerPort: 81, hostPort: 81, hostIp: "0.0.0.0" },
    ],
    addresses: [{ ip: "10.0.0.2", prefix: 24 }, { ip: "fd00::2", prefix: 64 }],
    loopbackRoutes: [{ interface: "cni0", switchedOn: true }],
    bridgePorts: ["veth1"],
  };
  const rules = hostPortRuleset("t", [entry]);
  const list = (name: string) =>
    new RegExp(`map ${name} \\{[^}]*elements = \\{([^}]*)\\}`).exec(rules)?.[1]?.trim();
  assert.equal(
    list("any4"),
    `tcp . 8080 comment "${ID}" : 10.0.0.2 . 80, tcp . 81 comment "${ID}" : 10.0.0.2 . 81`,
  );
  assert.equal(list("hostip4"), `127.0.0.1 . udp . 53 comment "${ID}" : 10.0.0.2 . 53`);
  assert.equal(list("any6"), `tcp . 8080 comment "${ID}" : fd00::2 . 80`);
  assert.equal(list("hostip6"), `fd00::1 . sctp . 9 comment "${ID}" : fd00::2 . 9`);
  assert.equal(list("pods4"), `10.0.0.2 : jump pod-${ID}`);
  for (
    const rule of [
      "ip saddr 127.0.0.0/8 meta l4proto tcp ct original proto-dst 8080 masquerade",
      "ip saddr 10.0.0.2/24 meta l4proto udp ct original proto-dst 53 masquerade",
      "ip6 saddr fd00::2/64 meta l4proto sctp ct original proto-dst 9 masquerade",
      'iifname { "cni0" } ip daddr 127.0.0.0/8 drop',
    ]
  ) assert.ok(rules.includes(rule), rule);
  assert.ok(rules.startsWith("add table inet t\ndelete table inet t\ntable inet t {"));
});

Deno.test("without pods there is no table", () => {
  assert.equal(hostPortRuleset("t", []), "add table inet t\ndelete table inet t\n");
});

Deno.test("the plan takes the first address of each family and the host's interfaces that route", () => {
  const bench = new Bench();
  const entry = bench.plan([{ ...WEB, hostIp: "FD00:0::0001" }], RESULT, ID);
  assert.deepEqual(entry, {
    sandboxId: ID,
    mappings: [{ ...WEB, hostIp: "fd00::1" }],
    addresses: [{ ip: "10.0.0.2", prefix: 24 }, { ip: "fd00::2", prefix: 64 }],
    loopbackRoutes: [{ interface: "cni0", switchedOn: true }],
    bridgePorts: ["veth1"],
  });
  assert.deepEqual(
    parseHostPorts(JSON.parse(JSON.stringify(hostPortsIntent(entry).payload))),
    entry,
  );
});

Deno.test("a host address of a family that the pod has no address of is refused", () => {
  const only4 = { cniVersion: "1.0.0", ips: [{ address: "10.0.0.2/24" }] };
  assert.throws(
    () => new Bench().plan([{ ...WEB, hostIp: "::" }], only4),
    FailedPreconditionError,
  );
});

Deno.test("names of interfaces from a plugin's result reach neither paths nor rules unless they are names", () => {
  const bench = new Bench();
  for (const name of ["all", "..", "a/b", 'x" }', "lo", "x".repeat(16), "default"]) {
    bench.localnet.set(name, false);
    const result = { ...RESULT, interfaces: [{ name }, ...RESULT.interfaces.slice(1)] };
    assert.deepEqual(bench.plan([WEB], result).loopbackRoutes, [], name);
  }
});

Deno.test("the loopback goes out of an interface as long as a pod behind it has host ports", async () => {
  const bench = new Bench();
  const first = bench.plan();
  await bench.ports.open(first, guard());
  assert.equal(bench.localnet.get("cni0"), true);
  assert.deepEqual(bench.hairpins, ["veth1"]);
  const second = bench.plan([{ ...WEB, hostPort: 8081 }]);
  assert.equal(second.loopbackRoutes[0]?.switchedOn, true, "it was us who switched it on");
  await bench.ports.open(second, guard());
  await bench.ports.close(first.sandboxId, guard());
  assert.equal(bench.localnet.get("cni0"), true);
  assert.doesNotMatch(bench.last, new RegExp(first.sandboxId));
  assert.match(bench.last, new RegExp(second.sandboxId));
  await bench.ports.close(second.sandboxId, guard());
  assert.equal(bench.localnet.get("cni0"), false);
  assert.equal(bench.last, "add table inet t\ndelete table inet t\n");

  bench.localnet.set("cni0", true);
  const third = bench.plan();
  await bench.ports.open(third, guard());
  await bench.ports.close(third.sandboxId, guard());
  assert.equal(bench.localnet.get("cni0"), true, "the administrator had it on");
});

Deno.test("closing what is not open does nothing; what the kernel kept is closed by the next try", async () => {
  const bench = new Bench();
  await bench.ports.close(newSandboxId(), guard());
  assert.deepEqual(bench.rulesets, []);
  const entry = bench.plan();
  await bench.ports.open(entry, guard());
  bench.failing = true;
  await assert.rejects(bench.ports.close(entry.sandboxId, guard()), (error: Error) => {
    return error instanceof UnavailableError && error.message.includes("Error: no such thing");
  });
  assert.equal(bench.ports.leadTo(entry.sandboxId), true);
  bench.failing = false;
  await bench.ports.close(entry.sandboxId, guard());
  assert.equal(bench.ports.leadTo(entry.sandboxId), false);
  assert.doesNotMatch(bench.last, new RegExp(entry.sandboxId));
});

Deno.test("pods that start together share a write of the table", async () => {
  const bench = new Bench();
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.gate = promise;
  const entries = [1, 2, 3, 4, 5].map((n) => bench.plan([{ ...WEB, hostPort: n }]));
  const opening = entries.map((entry) => bench.ports.open(entry, guard()));
  resolve();
  await Promise.all(opening);
  assert.ok(bench.rulesets.length <= 2, `${bench.rulesets.length} writes`);
  for (const { sandboxId } of entries) assert.match(bench.last, new RegExp(sandboxId));
});

Deno.test("UDP flows of a port are forgotten when it changes hands", async () => {
  const bench = new Bench();
  const entry = bench.plan([{ ...WEB, protocol: "udp", hostPort: 53 }, WEB]);
  await bench.ports.open(entry, guard());
  await bench.ports.close(entry.sandboxId, guard());
  const call = (family: string) => `--delete --family ${family} --proto udp --orig-port-dst 53`;
  const both = [call("ipv4"), call("ipv6")];
  assert.deepEqual(bench.conntrack, [...both, ...both]);

  // Not lost with a first try that failed.
  await bench.ports.open(entry, guard());
  bench.conntrack.length = 0;
  bench.failing = true;
  await assert.rejects(bench.ports.close(entry.sandboxId, guard()), UnavailableError);
  assert.deepEqual(bench.conntrack, []);
  bench.failing = false;
  await bench.ports.close(entry.sandboxId, guard());
  assert.deepEqual(bench.conntrack, both);
});

Deno.test("a conntrack that hangs is left with the step it belongs to", async () => {
  const bench = new Bench();
  const entry = bench.plan([53, 54, 55].map((hostPort) => ({ ...WEB, protocol: "udp", hostPort })));
  const step = new AbortController();
  bench.forgetting = (signal) =>
    new Promise((_, reject) => {
      assert.ok(signal, "it can be told to end");
      signal.addEventListener("abort", () => reject(signal.reason));
      step.abort(new Error("the step's deadline"));
    });
  await bench.ports.open(entry, step.signal);
  assert.equal(bench.conntrack.length, 1, "no further one is begun");
});

Deno.test("at the start the table becomes what the record says, and one of nobody is removed", async () => {
  const orphaned = new Bench();
  await orphaned.ports.reconcile(guard());
  assert.equal(orphaned.last, "add table inet t\ndelete table inet t\n");

  const unused = new Bench();
  unused.hasTable = false;
  await unused.ports.reconcile(guard());
  assert.deepEqual(unused.rulesets, []);

  const bench = new Bench();
  const entry = bench.plan();
  bench.ports.load(entry);
  await bench.ports.reconcile(guard());
  assert.match(bench.last, new RegExp(entry.sandboxId));
  assert.equal(bench.localnet.get("cni0"), true);
});

Deno.test("a node without nft says so before anything is made, and starts without it", async () => {
  const bench = new Bench();
  bench.installed = false;
  assert.throws(() => bench.ports.assertUsable(), (error: FailedPreconditionError) => {
    return error instanceof FailedPreconditionError && /nftables/.test(error.details.remedy ?? "");
  });
  await bench.ports.reconcile(guard());
});

Deno.test("what could not be the text of a rule is not taken from the record", () => {
  const entry = new Bench().plan();
  const payload = hostPortsIntent(entry).payload;
  const with_ = (key: string, value: unknown) => ({ ...payload, [key]: value }) as JsonObject;
  for (
    const bad of [
      with_("sandboxId", 'x" }'),
      with_("mappings", [{ ...WEB, hostPort: "80 }" }]),
      with_("mappings", [{ ...WEB, hostIp: "1.2.3.4 }" }]),
      with_("mappings", [{ ...WEB, protocol: "icmp" }]),
      with_("mappings", [{ ...WEB, containerPort: 70_000 }]),
      with_("addresses", [{ ip: "10.0.0.2 }", prefix: 24 }]),
      with_("addresses", [{ ip: "10.0.0.2", prefix: "24 }" }]),
      ...[NaN, -1, 1.5, 33].map((prefix) => with_("addresses", [{ ip: "10.0.0.2", prefix }])),
      with_("addresses", [{ ip: "fd00::2", prefix: 129 }]),
      with_("loopbackRoutes", [{ interface: 'a" }', switchedOn: true }]),
      with_("loopbackRoutes", undefined),
      with_("bridgePorts", ["../x"]),
    ]
  ) {
    assert.throws(() => parseHostPorts(bad), Error, JSON.stringify(bad));
  }
  assert.throws(() => parseHostPorts({}), InternalError);
});
