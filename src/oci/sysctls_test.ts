import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { podSysctls, type SysctlInputs } from "./sysctls.ts";

const inputs = (more: Partial<SysctlInputs>): SysctlInputs => ({
  requested: {},
  defaults: [],
  hostNetwork: false,
  hostIpc: false,
  ...more,
});

for (
  const [name, path] of [
    ["net.ipv4.ip_forward", "net/ipv4/ip_forward"],
    ["net/ipv4/ip_forward", "net/ipv4/ip_forward"],
    ["net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"],
    ["net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"],
    ["kernel.sem", "kernel/sem"],
    ["kernel.shmmax", "kernel/shmmax"],
    ["kernel.shm_rmid_forced", "kernel/shm_rmid_forced"],
    ["kernel.msgmnb", "kernel/msgmnb"],
    ["fs.mqueue.msg_max", "fs/mqueue/msg_max"],
  ] as const
) {
  Deno.test(`the sysctl ${name} is the pod's own`, () => {
    assert.deepEqual(podSysctls(inputs({ requested: { [name]: "1" } })).sysctls, { [path]: "1" });
  });
}

for (
  const [name, value] of [
    ["kernel.core_pattern", "|/bin/evil"],
    ["kernel.shm_rmid_forced", "1+kernel.core_pattern=|/evil"],
    ["kernel.shm_rmid_forced", "1+kernel.core_pattern"],
    ["kernel.shm_rmid_forced+kernel.core_pattern", "x"],
    ["kernel.sem=1", "x"],
    ["kernel.sem", "1\nkernel.core_pattern"],
    ["kernel.sem", "1\0"],
    ["kernel.sem", "1\r"],
    ["kernel.sem", ""],
    ["kernel.sem", "1".repeat(1025)],
    ["kernel.shm/../core_pattern", "x"],
    ["net/../kernel/core_pattern", "x"],
    ["net.//.kernel.core_pattern", "x"],
    ["net/./ipv4", "x"],
    ["net/", "x"],
    ["/net/ipv4/ip_forward", "1"],
    ["net", "1"],
    ["", "1"],
    ["network.x", "1"],
    ["kernel.semaphore", "1"],
    ["kernel.domainname", "x"],
    ["vm.swappiness", "1"],
    ["fs.mqueue", "1"],
    ["fs.file-max", "1"],
    ["net.ipv4.ip_forward\n", "1"],
    ["net.ipv4.ping_group_range", "0 x"],
    ["__proto__.x", "1"],
  ] as const
) {
  Deno.test(`the sysctl ${JSON.stringify(name)} = ${JSON.stringify(value.slice(0, 40))} is refused`, () => {
    const requested = Object.fromEntries([[name, value]]);
    assert.throws(() => podSysctls(inputs({ requested })), (error: InvalidArgumentError) => {
      assert.ok(error instanceof InvalidArgumentError);
      assert.equal(error.details.field, "config.linux.sysctls");
      return true;
    });
    const quiet = podSysctls(inputs({ defaults: [`${name}=${value}`] }));
    assert.deepEqual(quiet.sysctls, {});
  });
}

// CVE-2022-0532: what looks like the pod's own is the node's when a namespace is shared.
for (
  const [name, hostNetwork, hostIpc, allowed] of [
    ["net.ipv4.ip_forward", false, false, true],
    ["net.ipv4.ip_forward", true, false, false],
    ["net.ipv4.ip_forward", false, true, true],
    ["net.ipv4.ip_forward", true, true, false],
    ["kernel.shmmax", false, false, true],
    ["kernel.shmmax", true, false, true],
    ["kernel.shmmax", false, true, false],
    ["kernel.shmmax", true, true, false],
    ["kernel.sem", false, true, false],
    ["kernel.msgmax", false, true, false],
    ["fs.mqueue.msg_max", true, false, true],
    ["fs.mqueue.msg_max", false, true, false],
  ] as const
) {
  const shared = [...(hostNetwork ? ["network"] : []), ...(hostIpc ? ["IPC"] : [])].join(" and ");
  Deno.test(`${name} with the host's ${shared || "nothing"} is ${allowed ? "set" : "refused"}`, () => {
    const requested = { [name]: "1" };
    const act = () => podSysctls(inputs({ requested, hostNetwork, hostIpc }));
    if (allowed) assert.equal(Object.keys(act().sysctls).length, 1);
    else assert.throws(act, InvalidArgumentError);
    const quiet = podSysctls(inputs({ defaults: [`${name}=1`], hostNetwork, hostIpc }));
    assert.equal(Object.keys(quiet.sysctls).length, allowed ? 1 : 0);
    assert.equal(quiet.warnings.length, allowed ? 0 : 1);
  });
}

Deno.test("requests win over defaults, in either form", () => {
  const { sysctls } = podSysctls(inputs({
    defaults: ["net/ipv4/ip_forward=0", "", " "],
    requested: { "net.ipv4.ip_forward": "1" },
  }));
  assert.deepEqual(sysctls, { "net/ipv4/ip_forward": "1" });
});

Deno.test("the range of groups that may ping is cut to the mapped ones", () => {
  const defaults = ["net.ipv4.ping_group_range=0 2147483647"];
  const key = "net/ipv4/ping_group_range";
  assert.equal(podSysctls(inputs({ defaults })).sysctls[key], "0 2147483647");
  assert.equal(podSysctls(inputs({ defaults, largestMappedGid: 65535 })).sysctls[key], "0 65535");
});
