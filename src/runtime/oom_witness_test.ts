import assert from "node:assert/strict";
import { OomWitness } from "./oom_witness.ts";

/** Of groups that have these counts of kills, two levels of them. */
function witnessOf(counts: ReadonlyMap<string, number>): OomWitness {
  return new OomWitness({
    kills: (path) => counts.get(path),
    children: (path) =>
      [...counts.keys()].filter((key) => key.startsWith(`${path}/`)).map((key) =>
        key.slice(path.length + 1)
      ),
  });
}

Deno.test("kills in a group that is gone are told by the group above, once", () => {
  const counts = new Map([["/p", 3], ["/p/a", 0], ["/p/b", 1], ["/p/c", 0]]);
  const witness = witnessOf(counts);
  using _a = witness.watch("/p/a");
  using _b = witness.watch("/p/b");
  using _c = witness.watch("/p/c");
  // A kill in b, which lives on, is none of a's.
  counts.set("/p", 4).set("/p/b", 2);
  counts.delete("/p/a");
  assert.equal(witness.untold("/p/a"), false);
  // One in c, which goes with it, is c's, and not that of b, which goes after it without one.
  counts.set("/p", 5);
  counts.delete("/p/c");
  assert.equal(witness.untold("/p/c"), true);
  assert.equal(witness.untold("/p/c"), false);
});

Deno.test("a kill that a group told itself before it went is not the next one's", () => {
  const counts = new Map([["/p", 0], ["/p/a", 0], ["/p/b", 0]]);
  const witness = witnessOf(counts);
  using _a = witness.watch("/p/a");
  using _b = witness.watch("/p/b");
  counts.set("/p", 2).set("/p/a", 2);
  witness.told("/p/a", 2);
  counts.delete("/p/a");
  // Both are gone when somebody asks about b.
  counts.delete("/p/b");
  assert.equal(witness.untold("/p/b"), false);
  counts.set("/p", 3);
  assert.equal(witness.untold("/p/b"), true);
});

Deno.test("a group above that is gone, or that nobody watches, tells of nothing", () => {
  const witness = new OomWitness({ kills: () => undefined, children: () => [] });
  assert.equal(witness.untold("/p/a"), false);
  using _ = witness.watch("/p/a");
  assert.equal(witness.untold("/p/a"), false);
});
