import assert from "node:assert/strict";
import { parseErrorMessage, parseResult, printable } from "./cni_result.ts";

const ipsOf = (result: unknown, version = "1.0.0") => {
  const parsed = parseResult(JSON.stringify(result), version);
  return parsed.ok ? parsed.ips : parsed.problem;
};

Deno.test("addresses come without their prefix length, in order", () => {
  assert.deepEqual(
    ipsOf({ cniVersion: "1.0.0", ips: [{ address: "10.0.0.2/24" }, { address: "fd00::2/64" }] }),
    ["10.0.0.2", "fd00::2"],
  );
});

Deno.test("results of 0.3.1 name the family, which changes nothing", () => {
  assert.deepEqual(
    ipsOf({ cniVersion: "0.3.1", ips: [{ version: "4", address: "10.0.0.2/24" }] }, "0.3.1"),
    ["10.0.0.2"],
  );
});

Deno.test("addresses of interfaces outside the pod are not the pod's", () => {
  assert.deepEqual(
    ipsOf({
      interfaces: [{ name: "br0" }, { name: "eth0", sandbox: "/run/netns/x" }],
      ips: [{ address: "10.0.0.1/24", interface: 0 }, { address: "10.0.0.2/24", interface: 1 }],
    }),
    ["10.0.0.2"],
  );
});

for (
  const [what, text] of [
    ["nothing", " \n"],
    ["garbage", "Segmentation fault"],
    ["half a result", '{"cniVersion": "1.0.0", "ips": ['],
    ["a list", "[]"],
    ["another version", '{"cniVersion": "0.4.0"}'],
    ["ips that are a text", '{"ips": "10.0.0.2/24"}'],
    ["an address without a prefix", '{"ips": [{"address": "10.0.0.2"}]}'],
    ["an address that forges a line", '{"ips": [{"address": "10.0.0.2\\nx/24"}]}'],
    ["a prefix that is too long", '{"ips": [{"address": "10.0.0.2/33"}]}'],
    [
      "a flood of addresses",
      JSON.stringify({ ips: Array.from({ length: 65 }, () => ({ address: "10.0.0.2/24" })) }),
    ],
  ] as const
) {
  Deno.test(`a plugin that prints ${what} has failed`, () => {
    assert.equal(parseResult(text, "1.0.0").ok, false);
  });
}

Deno.test("an error object becomes one line with code and details", () => {
  assert.equal(
    parseErrorMessage('{"code": 11, "msg": "try\\nlater", "details": "busy"}'),
    "try later; busy (code 11)",
  );
  assert.equal(parseErrorMessage("panic"), undefined);
  assert.equal(printable("x".repeat(1000)).length, 512);
});
