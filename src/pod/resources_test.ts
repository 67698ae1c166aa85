import assert from "node:assert/strict";
import type { UndoContext } from "../state/journal.ts";
import { cgroupIntent, PodResources } from "./resources.ts";

function undone(
  sameBoot: boolean,
  inUse: readonly { readonly id: string; readonly cgroupParent: string }[] = [],
): readonly string[] {
  const removed: string[] = [];
  const resources = new PodResources({
    namespaces: {} as never,
    mounts: {} as never,
    trees: {} as never,
    cgroups: {
      missing: () => [],
      create: () => Promise.resolve(),
      removeEmpty: (paths, isClaimed) =>
        Promise.resolve(void removed.push(...paths.filter((path) => !isClaimed(path)))),
    },
    defaultCgroupParent: "/ours",
    cgroupsInUse: () => inUse,
  });
  const { kind, payload } = cgroupIntent("/kubepods/pod1", ["/kubepods", "/kubepods/pod1"]);
  const type = resources.types().find((one) => one.kind === kind)!;
  void type.undo(type.parse(payload), { resource: { owner: "this" }, sameBoot } as UndoContext);
  return removed.sort();
}

Deno.test("the cgroup of a pod goes with those above it that were made for it", () => {
  assert.deepEqual(undone(true), ["/kubepods", "/kubepods/pod1", "/ours"]);
});

Deno.test("a cgroup that was made in another boot is not touched: the path is somebody else's now", () => {
  assert.deepEqual(undone(false), []);
});

Deno.test("a cgroup that another pod needs stays, empty or not", () => {
  const again = { id: "again", cgroupParent: "/kubepods/pod1" };
  assert.deepEqual(undone(true, [again]), ["/ours"]);
  const neighbour = { id: "neighbour", cgroupParent: "/kubepods/pod2" };
  assert.deepEqual(undone(true, [neighbour]), ["/kubepods/pod1", "/ours"]);
  // The pod itself, before its record has gone.
  const self = { id: "this", cgroupParent: "/kubepods/pod1" };
  assert.deepEqual(undone(true, [self]), ["/kubepods", "/kubepods/pod1", "/ours"]);
});
