import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { findPidHolder, requirePidHolder } from "./pid_holder_program.ts";

Deno.test("catatonit is found on the search path, links followed, and only if it can be run", async () => {
  const directory = await Deno.realPath(await Deno.makeTempDir());
  try {
    for (const name of ["plain", "linked", "dead"]) await Deno.mkdir(`${directory}/${name}`);
    const program = `${directory}/program`;
    await Deno.writeTextFile(program, "", { mode: 0o755 });
    await Deno.writeTextFile(`${directory}/plain/catatonit`, "", { mode: 0o644 });
    await Deno.symlink(program, `${directory}/linked/catatonit`);
    await Deno.symlink("/nowhere", `${directory}/dead/catatonit`);
    const path = ["relative", `${directory}/plain`, `${directory}/dead`, `${directory}/linked`];
    assert.equal(findPidHolder(path.join(":"), []), program);
    assert.equal(findPidHolder("", [`${directory}/linked`]), program);
    assert.equal(findPidHolder(`${directory}/plain:${directory}/dead`, []), undefined);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a node without catatonit is told the package and the way around", () => {
  assert.throws(() => requirePidHolder("/nowhere", []), (error: unknown) => {
    assert.ok(error instanceof FailedPreconditionError);
    assert.match(error.details.field ?? "", /namespace_options\.pid$/);
    assert.match(error.details.remedy ?? "", /apt-get install catatonit.*CONTAINER/);
    return true;
  });
});
