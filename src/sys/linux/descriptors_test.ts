import assert from "node:assert/strict";
import { LOCK_EX, LOCK_NB, O_RDONLY } from "../constants.ts";
import { createLinuxKernel } from "../linux.ts";
import { withRoot } from "../_test_root.ts";

const kernel = createLinuxKernel();

Deno.test("flock without waiting answers false for the second", () =>
  withRoot((root) => {
    using first = kernel.open(root, O_RDONLY);
    using second = kernel.open(root, O_RDONLY);
    assert.equal(kernel.flock(first.number, LOCK_EX | LOCK_NB), true);
    assert.equal(kernel.flock(second.number, LOCK_EX | LOCK_NB), false);
  }));
