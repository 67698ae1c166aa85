import assert from "node:assert/strict";
import { compareVersions, parseVersion } from "./versions.ts";

Deno.test("parseVersion finds the first version in what programs print", () => {
  assert.deepEqual(parseVersion("runc version 1.1.5+ds1\ncommit: x"), {
    numbers: [1, 1, 5],
    text: "1.1.5+ds1",
  });
  assert.deepEqual(parseVersion("conmon version 2.1.6\n")?.numbers, [2, 1, 6]);
  assert.deepEqual(parseVersion("crun version 1.8\n")?.numbers, [1, 8, 0]);
  assert.equal(parseVersion("no numbers"), undefined);
});

Deno.test("compareVersions orders by number, not by text", () => {
  const version = parseVersion("1.10.2")!;
  assert.ok(compareVersions(version, [1, 9, 9]) > 0);
  assert.ok(compareVersions(version, [1, 10, 3]) < 0);
  assert.equal(compareVersions(version, [1, 10, 2]), 0);
});
