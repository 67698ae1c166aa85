import assert from "node:assert/strict";
import { isTemporaryName, writeFileAtomic } from "./atomic_file.ts";

for (const survives of ["crash", "power-cut"] as const) {
  Deno.test(`writeFileAtomic() (${survives}) replaces a file whole, with its mode`, async () => {
    const root = await Deno.makeTempDir();
    await writeFileAtomic(`${root}/f`, "first, and longer", { survives });
    assert.equal((await Deno.stat(`${root}/f`)).mode! & 0o777, 0o600);
    await writeFileAtomic(`${root}/f`, new Uint8Array([0x32]), { survives, mode: 0o644 });
    assert.equal(await Deno.readTextFile(`${root}/f`), "2");
    assert.equal((await Deno.stat(`${root}/f`)).mode! & 0o777, 0o644);
    assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), ["f"]);
    await Deno.remove(root, { recursive: true });
  });
}

Deno.test("a failed write leaves the old file and nothing else", async () => {
  const root = await Deno.makeTempDir();
  await Deno.mkdir(`${root}/f/not-empty`, { recursive: true });
  await assert.rejects(writeFileAtomic(`${root}/f`, "x"));
  assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), ["f"]);
  await assert.rejects(writeFileAtomic(`${root}/none/f`, "x"), Deno.errors.NotFound);
  await Deno.remove(root, { recursive: true });
});

Deno.test("a symbolic link is replaced, not written through", async () => {
  const root = await Deno.makeTempDir();
  await Deno.writeTextFile(`${root}/target`, "old");
  await Deno.symlink("target", `${root}/link`);
  await writeFileAtomic(`${root}/link`, "new");
  assert.equal(await Deno.readTextFile(`${root}/target`), "old");
  assert.equal(await Deno.readTextFile(`${root}/link`), "new");
  await Deno.remove(root, { recursive: true });
});

Deno.test("names of half-written files can be told", () => {
  assert.ok(isTemporaryName(".tmp-6f3c"));
  assert.ok(!isTemporaryName("config.json"));
});
