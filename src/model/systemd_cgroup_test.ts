import assert from "node:assert/strict";
import { containerCgroup, sliceCgroup, specCgroupsPath } from "./systemd_cgroup.ts";

Deno.test("each dash of a slice's name is a level of its cgroup", () => {
  assert.equal(sliceCgroup("system.slice"), "/system.slice");
  assert.equal(
    sliceCgroup("kubepods-burstable-pod1_2.slice"),
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
  );
});

Deno.test("names that systemd refuses have no cgroup", () => {
  for (
    const name of [
      ...["-.slice", ".slice", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice", "a b.slice"],
      ...["kubepods", "a.scope", `${"x".repeat(255)}.slice`, "../a.slice", "a\n.slice"],
    ]
  ) {
    assert.equal(sliceCgroup(name), undefined, name);
  }
});

Deno.test("a container's cgroup follows from its pod's, and its specification from both", () => {
  const systemd = containerCgroup("/kubepods.slice/kubepods-pod1.slice", "abc");
  assert.equal(systemd, "/kubepods.slice/kubepods-pod1.slice/crio-abc.scope");
  assert.equal(specCgroupsPath(systemd), "kubepods-pod1.slice:crio:abc");
  const cgroupfs = containerCgroup("/kubepods/pod1", "abc");
  assert.equal(cgroupfs, "/kubepods/pod1/crio-abc");
  assert.equal(specCgroupsPath(cgroupfs), cgroupfs);
});
