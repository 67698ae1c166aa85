import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { entryNames } from "./entry_path.ts";
import { meaningOf } from "./whiteouts.ts";

Deno.test("meaningOf() tells entries, whiteouts, opaque marks and leftovers of AUFS apart", () => {
  assert.deepEqual(meaningOf([]), { kind: "entry" });
  assert.deepEqual(meaningOf(["a", "wh.b"]), { kind: "entry" });
  assert.deepEqual(meaningOf(["a", ".wh.b"]), { kind: "whiteout", name: "b" });
  assert.deepEqual(meaningOf(["a", ".wh....b"]), { kind: "whiteout", name: "...b" });
  assert.deepEqual(meaningOf([".wh..wh..opq"]), { kind: "opaque" });
  assert.deepEqual(meaningOf([".wh..wh.plnk", "1.2"]), { kind: "ignored" });
  assert.deepEqual(meaningOf([".wh..wh.aufs"]), { kind: "ignored" });
});

Deno.test("meaningOf() refuses whiteouts that hide no name", () => {
  for (
    const names of [[".wh."], [".wh.."], [".wh..."], [".wh..wh.x"], [".wh.a", "b"], [
      ".wh.a",
      ".wh.a",
    ]]
  ) {
    assert.throws(() => meaningOf(names), InvalidArgumentError, names.join("/"));
  }
});

Deno.test("entryNames() takes paths apart and refuses what could lead elsewhere", () => {
  assert.deepEqual(entryNames("./a//b/./c/"), ["a", "b", "c"]);
  assert.deepEqual(entryNames("/etc/passwd"), ["etc", "passwd"]);
  assert.deepEqual(entryNames("./"), []);
  assert.deepEqual(entryNames("a/...b/..c"), ["a", "...b", "..c"]);
  for (const path of ["", "..", "a/..", "../a", "a/../b", "n".repeat(256), "d/".repeat(513)]) {
    assert.throws(() => entryNames(path), InvalidArgumentError, path.slice(0, 20));
  }
  // 255 bytes, not characters.
  assert.throws(() => entryNames("ü".repeat(128)), InvalidArgumentError);
  assert.equal(entryNames("ü".repeat(127)).length, 1);
});
