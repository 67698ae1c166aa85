/** docs/cri.md against the source. */
import assert from "node:assert/strict";
import { UnimplementedError } from "../errors/mod.ts";
import { ImageServiceDefinition, RuntimeServiceDefinition } from "../proto/mod.ts";
import { serverOptions } from "./_test_server.ts";

const TOP = new URL("../../", import.meta.url).pathname;
const DOCS = await Deno.readTextFile(`${TOP}docs/cri.md`);

/** Rows of the tables of methods: name, and what the method does. */
const ROWS = [...DOCS.matchAll(/^\| method \|[^]*?(?=\n\n)/gm)]
  .flatMap(([table]) => [...table.matchAll(/^\| ([A-Z]\w+) \| ([^|]*) \|/gm)])
  .map(([, name = "", does = ""]) => ({ name, does }));

Deno.test("docs/cri.md has one row for each method", () => {
  const methods = [RuntimeServiceDefinition, ImageServiceDefinition]
    .flatMap((service) => Object.values(service.methods).map(({ name }) => name));
  assert.deepEqual(ROWS.map(({ name }) => name).sort(), methods.sort());
});

Deno.test("docs/cri.md says UNIMPLEMENTED of what is refused by name, and of nothing else", async () => {
  const { runtime } = serverOptions();
  const refused: string[] = [];
  for (const [key, { name }] of Object.entries(RuntimeServiceDefinition.methods)) {
    const handler = runtime[key as keyof typeof runtime] as (...args: unknown[]) => unknown;
    try {
      await handler({}, {});
    } catch (error) {
      if (error instanceof UnimplementedError && error.details.field === name) refused.push(name);
    }
  }
  const told = ROWS.filter(({ does }) => does.startsWith("`UNIMPLEMENTED`"));
  assert.deepEqual(told.map(({ name }) => name).sort(), refused.sort());
});

Deno.test("every test that docs/cri.md names is there", async () => {
  const missing: string[] = [];
  for (const [, path = ""] of DOCS.matchAll(/`([\w/]+_test\.ts)`/g)) {
    const file = path.includes("/") ? path : `tests/e2e/${path}`;
    if (!await exists(file)) missing.push(file);
  }
  for (const [, names = ""] of DOCS.matchAll(/golden ((?:`\w+`(?:, )?)+)/g)) {
    for (const [, name = ""] of names.matchAll(/`(\w+)`/g)) {
      const file = `src/oci/testdata/${name}.json`;
      if (!await exists(file)) missing.push(file);
    }
  }
  assert.deepEqual(missing, []);
});

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(`${TOP}${path}`).then(({ isFile }) => isFile, () => false);
}
