import assert from "node:assert/strict";
import { matchesPinned } from "./pinned.ts";

Deno.test("matchesPinned() knows exact names, text* and *text*", () => {
  const names = ["registry.k8s.io/pause:3.10"];
  const table: readonly [string, boolean][] = [
    ["registry.k8s.io/pause:3.10", true],
    ["Registry.K8s.io/PAUSE:3.10", true],
    ["registry.k8s.io/pause", false],
    ["registry.k8s.io/pause*", true],
    ["k8s.io/*", true],
    ["*pause*", true],
    ["*paws*", false],
    ["*pause:3.10", false],
  ];
  for (const [pattern, expected] of table) {
    assert.equal(matchesPinned(names, [pattern]), expected, pattern);
  }
  assert(!matchesPinned(names, []));
});
