import assert from "node:assert/strict";
import type { UndoContext } from "../state/journal.ts";
import { cgroupIntent, PodResources } from "./resources.ts";

function undone(sameBoot: boolean): readonly string[] {
  const removed: string[] = [];
  const resources = new PodResources({
    namespaces: {} as never,
    mounts: {} as never,
    trees: {} as never,
    cgroups: {
      missing: () => [],
      create: () => Promise.resolve(),
      removeEmpty: (paths) => Promise.resolve(void removed.push(...paths)),
    },
    defaultCgroupParent: "/ours",
  });
  const { kind, payload } = cgroupIntent("/kubepods/pod1", ["/kubepods", "/kubepods/pod1"]);
  const type = resources.types().find((one) => one.kind === kind)!;
  void type.undo(type.parse(payload), { sameBoot } as UndoContext);
  return removed.sort();
}

Deno.test("the cgroup of a pod goes with those above it that were made for it", () => {
  assert.deepEqual(undone(true), ["/kubepods", "/kubepods/pod1", "/ours"]);
});

Deno.test("a cgroup that was made in another boot is not touched: the path is somebody else's now", () => {
  assert.deepEqual(undone(false), []);
});
