/**
 * Networks with the distribution's CNI plugins. The plugins run inside a network namespace of the
 * test's own that stands for the host's, so that no bridge, rule or route ever reaches the real one.
 */
import assert from "node:assert/strict";
import {
  attachmentIntent,
  attachmentResource,
  type AttachRequest,
  type CniNetworks,
} from "../../src/network/mod.ts";
import { guard, NetworkPlace, output } from "./network_place.ts";

const BRIDGE = "srpdtest0";

/** A bridge with masquerading and host ports by its plugin; a /29 with a gateway has room for five pods. */
async function networksOf(place: NetworkPlace, cniVersion: string): Promise<CniNetworks> {
  return await place.networks({
    cniVersion,
    plugins: [
      {
        type: "bridge",
        bridge: BRIDGE,
        isGateway: true,
        ipMasq: true,
        ipam: place.ipam("10.203.7.0/29"),
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  });
}

function requestOf(place: NetworkPlace, pin: string, hostPort?: number): AttachRequest {
  return place.request(pin, {
    portMappings: hostPort === undefined
      ? []
      : [{ protocol: "tcp", containerPort: 80, hostPort, hostIp: "" }],
  });
}

/** Rules of one pod: portmap leaves its empty common chains behind, which belong to no pod. */
async function rulesOf(place: NetworkPlace): Promise<string[]> {
  const saved = await place.onHost("iptables-save");
  return saved.split("\n").filter((line) => line.includes("10.203.7."));
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
      await using place = await NetworkPlace.make();
      const networks = await networksOf(place, cniVersion);
      const pod = await place.pin("pod");
      const request = requestOf(place, pod, 18080);
      const chosen = networks.choose();
      const attachment = await networks.attach(chosen, request, guard());
      assert.deepEqual(attachment.ips, ["10.203.7.2"]);
      assert.equal(attachment.network, "test");
      assert.match(
        await place.inside(pod, "ip", "-o", "addr", "show", "eth0"),
        /10\.203\.7\.2\/29/,
      );
      assert.match(await place.inside(pod, "ip", "route"), /default via 10\.203\.7\.1/);
      assert.ok((await rulesOf(place)).some((rule) => rule.includes("--dport 18080")));
      assert.deepEqual(place.leases(), ["10.203.7.2"]);

      await networks.detach(chosen, request, attachment.result, guard());
      assert.deepEqual(place.leases(), []);
      assert.deepEqual(await rulesOf(place), []);
      assert.deepEqual(await place.veths(), []);
      await networks.detach(chosen, request, attachment.result, guard());
    }
    assert.deepEqual(await host(), before);
  });
}

Deno.test("pods attached at the same time get different addresses, and an exhausted range says so", async () => {
  await using place = await NetworkPlace.make();
  const networks = await networksOf(place, "1.0.0");
  const chosen = networks.choose();
  // A /29 with a gateway has room for five.
  const requests = await Promise.all(
    Array.from({ length: 5 }, async (_, index) => requestOf(place, await place.pin(`pod${index}`))),
  );
  const attached = await Promise.all(
    requests.map((request) => networks.attach(chosen, request, guard())),
  );
  assert.equal(new Set(attached.map(({ ips }) => ips[0])).size, 5);
  const late = requestOf(place, await place.pin("late"));
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
  await using place = await NetworkPlace.make();
  const networks = await networksOf(place, "1.0.0");
  const chosen = networks.choose();
  const pod = await place.pin("pod");
  const request = requestOf(place, pod, 18081);
  const { result } = await networks.attach(chosen, request, guard());
  await place.release(pod);
  await networks.detach(chosen, request, result, guard());
  assert.deepEqual(place.leases(), []);
  // The bridge plugin finds its masquerading rules through the namespace and leaves them without it.
  const rules = await rulesOf(place);
  assert.deepEqual(rules.filter((rule) => rule.includes("18081")), []);
});

Deno.test("the record of an attachment gives the address back after a restart of the machine", async () => {
  await using place = await NetworkPlace.make();
  const networks = await networksOf(place, "1.0.0");
  const chosen = networks.choose();
  const pod = await place.pin("pod");
  const request = requestOf(place, pod);
  const { payload, kind } = attachmentIntent(chosen, request);
  const { result } = await networks.attach(chosen, request, guard());
  const type = attachmentResource({
    networks,
    orphans: { end: () => Promise.reject(new Error("not asked")) },
    hostPorts: { leadTo: () => false },
    ledger: { release: () => {} },
  });
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
  await using place = await NetworkPlace.make();
  const networks = await networksOf(place, "1.0.0");
  const pod = await place.pin("pod");
  await networks.detach(networks.choose(), requestOf(place, pod, 18082), undefined, guard());
  assert.deepEqual(place.leases(), []);
});
