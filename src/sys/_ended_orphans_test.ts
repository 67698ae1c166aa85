import assert from "node:assert/strict";
import { EndedOrphans } from "./_ended_orphans.ts";

const ended = (exitCode: number) => ({ exitCode, endedBy: null });

Deno.test("ends are kept while somebody expects one, and each is taken once", () => {
  const orphans = new EndedOrphans();
  orphans.add(1, ended(0));
  assert.equal(orphans.size, 0);
  using expectation = orphans.expect();
  orphans.add(2, ended(2));
  orphans.add(3, ended(3));
  assert.equal(expectation.take(1), undefined);
  assert.deepEqual(expectation.take(2), ended(2));
  assert.equal(expectation.take(2), undefined);
  assert.equal(orphans.size, 1);
  expectation[Symbol.dispose]();
  assert.equal(orphans.size, 0);
});

Deno.test("an expectation gets no end from before it, and of two with one pid the later", () => {
  const orphans = new EndedOrphans();
  using _other = orphans.expect();
  orphans.add(7, ended(1));
  using expectation = orphans.expect();
  assert.equal(expectation.take(7), undefined);
  orphans.add(7, ended(2));
  assert.deepEqual(expectation.take(7), ended(2));
});

Deno.test("expectations that overlap for ever keep no more than what they may ask for", () => {
  const orphans = new EndedOrphans();
  let current = orphans.expect();
  for (let pid = 1; pid <= 1000; pid++) {
    // A pid that comes again, too.
    orphans.add(pid % 100, ended(0));
    const next = orphans.expect();
    current[Symbol.dispose]();
    current[Symbol.dispose]();
    assert.equal(orphans.size, 0);
    orphans.add(1_000 + pid, ended(0));
    assert.equal(orphans.size, 1);
    current = next;
  }
  current[Symbol.dispose]();
  assert.equal(orphans.size, 0);
});
