import assert from "node:assert/strict";
import { parseUlimit, UNLIMITED } from "./ulimit.ts";

Deno.test("parseUlimit() reads name, soft and hard limit, and says what is wrong with others", () => {
  assert.deepEqual(parseUlimit("nofile=1024:2048"), { name: "nofile", soft: 1024n, hard: 2048n });
  assert.deepEqual(parseUlimit("core=0"), { name: "core", soft: 0n, hard: 0n });
  assert.deepEqual(parseUlimit("memlock=5:-1"), { name: "memlock", soft: 5n, hard: UNLIMITED });
  assert.equal(parseUlimit("nofile=-1:5"), "has a soft limit above the hard one");
  assert.equal(parseUlimit("files=5"), "names no resource limit: files");
  for (
    const text of ["", "nofile", "nofile=", "nofile=-2", "nofile=1:2:3", "NOFILE=1", "nofile=1\n"]
  ) {
    assert.match(String(parseUlimit(text)), /^must be name=soft/, text);
  }
});
