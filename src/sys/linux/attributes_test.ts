import assert from "node:assert/strict";
import { O_DIRECTORY, O_RDONLY } from "../constants.ts";
import { createLinuxKernel } from "../linux.ts";
import { withRoot } from "../_test_root.ts";

const kernel = createLinuxKernel();
const encoded = (value: string) => new TextEncoder().encode(value);

Deno.test("extended attributes are set, read and listed; a missing one is undefined", () =>
  withRoot((root) => {
    Deno.writeTextFileSync(`${root}/a`, "");
    kernel.lsetxattr(`${root}/a`, "user.sauropod", encoded("v\0w"));
    assert.deepEqual(kernel.lgetxattr(`${root}/a`, "user.sauropod"), encoded("v\0w"));
    assert.equal(kernel.lgetxattr(`${root}/a`, "user.none"), undefined);
    assert.ok(kernel.llistxattr(`${root}/a`).includes("user.sauropod"));
  }));

Deno.test("statfs tells the file system's type and size", () => {
  const proc = kernel.statfs("/proc");
  assert.equal(proc.type, 0x9fa0);
  using root = kernel.open("/", O_RDONLY | O_DIRECTORY);
  assert.ok(kernel.fstatfs(root.number).blocks > 0n);
});
