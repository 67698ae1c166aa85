import assert from "node:assert/strict";
import {
  FailedPreconditionError,
  InvalidArgumentError,
  SauropodError,
  UnimplementedError,
} from "../errors/mod.ts";
import { parseCniList } from "./cni_list.ts";
import { networkSelection } from "./network_selection.ts";

const KEY = "v1.multus-cni.io/default-network";
const both = parseCniList({
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [
    { type: "bridge", capabilities: { ips: true } },
    { type: "tuning", capabilities: { mac: true } },
  ],
});
const neither = parseCniList({
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [{ type: "bridge", capabilities: { ips: false } }],
});

const select = (value: string | object, list = both) =>
  networkSelection(
    { key: KEY, value: typeof value === "string" ? value : JSON.stringify(value) },
    list,
  );

Deno.test("a pod selects addresses and a hardware address of the default network", () => {
  const ips = ["10.1.0.7/24", "fd00::7"];
  assert.deepEqual(
    select([{ name: "pods", namespace: "kube-system", ips, mac: "02:00:00:00:00:0A" }]),
    { ips, mac: "02:00:00:00:00:0a" },
  );
  assert.deepEqual(select({ name: "pods", ips }), { ips, mac: "" });
  assert.deepEqual(select(' [{ "name": "pods" }]'), { ips: [], mac: "" });
});

Deno.test("a name alone asks for nothing, of any network", () => {
  for (const name of ["pods", "kube-system/other@eth0", ""]) {
    assert.deepEqual(select(name, neither), { ips: [], mac: "" });
  }
});

Deno.test("a selection that cannot be met is refused by annotation and value", () => {
  const pods = (parts: object) => [{ name: "pods", ...parts }];
  for (
    const [value, why, kind] of [
      ["[", /is not JSON/, InvalidArgumentError],
      ["[]", /has no element/, InvalidArgumentError],
      ["[[1]]", /has no element/, InvalidArgumentError],
      [[{ name: "pods" }, { name: "pods" }], /more than one element/, InvalidArgumentError],
      [[{ name: "other" }], /does not name the pod network, which is "pods"/, InvalidArgumentError],
      [[{}], /does not name the pod network/, InvalidArgumentError],
      [pods({ interface: "net1" }), /asks for "interface", which is not built/, UnimplementedError],
      [pods({ ips: "10.1.0.7" }), /ips that are no list/, InvalidArgumentError],
      [pods({ ips: Array(17).fill("10.1.0.7") }), /no list of up to 16/, InvalidArgumentError],
      [pods({ ips: ["10.1.0.7/33"] }), /the address "10\.1\.0\.7\/33"/, InvalidArgumentError],
      [pods({ ips: ["10.1.0"] }), /the address "10\.1\.0"/, InvalidArgumentError],
      [pods({ ips: ["fe80::1%eth0"] }), /the address/, InvalidArgumentError],
      [pods({ ips: [7] }), /the address/, InvalidArgumentError],
      [pods({ mac: "02:00:00:00:00" }), /the hardware address/, InvalidArgumentError],
      [pods({ mac: "01:00:00:00:00:01" }), /the hardware address/, InvalidArgumentError],
      [pods({ mac: "ff:ff:ff:ff:ff:ff" }), /the hardware address/, InvalidArgumentError],
      [pods({ mac: "00:00:00:00:00:00" }), /the hardware address/, InvalidArgumentError],
      [pods({ mac: "02-00-00-00-00-01" }), /the hardware address/, InvalidArgumentError],
    ] as const
  ) {
    assert.throws(() => select(value), (error: SauropodError) => {
      assert.ok(error instanceof kind, `${JSON.stringify(value)}: ${error}`);
      assert.match(error.message, why);
      assert.equal(error.details.field, `config.annotations["${KEY}"]`);
      return true;
    });
  }
});

Deno.test("a selection that no plugin of the network takes is refused, and not passed over", () => {
  for (
    const [parts, capability] of [
      [{ ips: ["10.1.0.7/24"] }, "ips"],
      [{ mac: "02:00:00:00:00:07" }, "mac"],
    ] as const
  ) {
    assert.throws(
      () => select([{ name: "pods", ...parts }], neither),
      (error: SauropodError) =>
        error instanceof FailedPreconditionError &&
        error.message.includes(`asks for ${capability}, which no plugin of network "pods" takes`),
    );
  }
});
