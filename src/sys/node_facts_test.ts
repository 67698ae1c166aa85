import assert from "node:assert/strict";
import { serviceUnitOf } from "./node_facts.ts";

Deno.test("serviceUnitOf() finds the service in either version of cgroups", () => {
  assert.equal(serviceUnitOf("0::/system.slice/sauropod.service\n"), "sauropod.service");
  assert.equal(serviceUnitOf("0::/system.slice/sauropod.service/init\n"), "sauropod.service");
  assert.equal(
    serviceUnitOf(
      "12:cpuset:/\n1:name=systemd:/a.slice/crio@1.service\n0::/system.slice/other.service\n",
    ),
    "crio@1.service",
  );
  for (
    const text of [
      "",
      "0::/\n",
      "0::/user.slice/session-1.scope\n",
      "5:cpu:/system.slice/x.service\n",
    ]
  ) {
    assert.equal(serviceUnitOf(text), undefined, text);
  }
  assert.equal(serviceUnitOf("0::/system.slice/a'b.service\n"), undefined);
});
