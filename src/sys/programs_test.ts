import assert from "node:assert/strict";
import { findProgram, findProgramSync, isExecutable } from "./programs.ts";

Deno.test("findProgram() takes the first executable file of absolute folders, both ways", async () => {
  const top = await Deno.makeTempDir({ prefix: "programs-" });
  try {
    for (const folder of ["a", "b", "c", "d"]) await Deno.mkdir(`${top}/${folder}`);
    await Deno.mkdir(`${top}/a/tool`);
    await Deno.writeTextFile(`${top}/b/tool`, "", { mode: 0o644 });
    await Deno.writeTextFile(`${top}/c/tool`, "", { mode: 0o755 });
    await Deno.writeTextFile(`${top}/d/tool`, "", { mode: 0o755 });
    const path = ["", ".", `${top}/none`, `${top}/a`, `${top}/b`, `${top}/c`, `${top}/d`].join(":");
    assert.equal(await findProgram("tool", path), `${top}/c/tool`);
    assert.equal(findProgramSync("tool", path), `${top}/c/tool`);
    assert.equal(await findProgram("other", path), undefined);
    assert.deepEqual(
      await Promise.all(["a", "b", "c"].map((folder) => isExecutable(`${top}/${folder}/tool`))),
      [false, false, true],
    );
  } finally {
    await Deno.remove(top, { recursive: true });
  }
});
