import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { cgroupParentOf } from "./cgroup_parent.ts";

const cgroupfs = { cgroupDriver: "cgroupfs", defaultCgroupParent: "/sauropod" } as const;
const systemd = { cgroupDriver: "systemd", defaultCgroupParent: "/system.slice" } as const;

Deno.test("a parent in the driver's own form is taken, none means the default", () => {
  assert.equal(cgroupParentOf("/kubepods/pod1", cgroupfs), "/kubepods/pod1");
  assert.equal(cgroupParentOf("", cgroupfs), "/sauropod");
  const expanded = "/kubepods.slice/kubepods-pod1.slice";
  assert.equal(cgroupParentOf(expanded, systemd), expanded);
  assert.equal(cgroupParentOf("kubepods-pod1.slice", systemd), expanded);
  assert.equal(cgroupParentOf("", systemd), "/system.slice");
});

Deno.test("a parent in the form of the other driver is refused with what to change on both sides", () => {
  for (
    const [parent, settings, remedy] of [
      ["/kubepods.slice/kubepods-pod1.slice", cgroupfs, /cgroupDriver to cgroupfs.*to systemd/],
      ["/kubepods/pod1", systemd, /cgroupDriver to systemd.*to cgroupfs/],
      ["/a/-.slice", systemd, /a name such as/],
      ["a--b.slice", systemd, /a name such as/],
    ] as const
  ) {
    assert.throws(() => cgroupParentOf(parent, settings), (error: unknown) => {
      assert.ok(error instanceof InvalidArgumentError);
      assert.equal(error.details.field, "config.linux.cgroup_parent");
      assert.match(error.details.remedy ?? "", remedy);
      return true;
    });
  }
});
