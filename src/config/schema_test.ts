import assert from "node:assert/strict";
import { allKeys } from "./merged.ts";
import type { KeyTable } from "./schema.ts";
import { HANDLER } from "./schema/runtime_handler.ts";
import { WORKLOAD, WORKLOAD_RESOURCES } from "./schema/workload.ts";

Deno.test("the schema has every key of CRI-O 1.37", () => {
  const tables: KeyTable[] = [HANDLER, WORKLOAD, WORKLOAD_RESOURCES];
  const named = tables.flatMap((table) => Object.keys(table));
  // 159 keys with the three that are tables: runtimes, workloads and a workload's resources.
  assert.equal(allKeys().length + named.length + 3, 159);
});

Deno.test("every key says what it means in one sentence, and why if it is not honoured", () => {
  for (const { path, key } of allKeys()) {
    assert.match(key.meaning, /^[A-Z].*\.$/, path);
    if (key.standing === "refused" || key.standing === "noEffect") assert.ok(key.because, path);
    assert.equal(key.check?.(key.default), undefined, path);
    assert.equal(key.refuses?.(key.default), undefined, path);
    if (key.ours !== undefined) assert.equal(key.check?.(key.ours), undefined, path);
  }
});

Deno.test("no flag and no variable stands for two keys", () => {
  const names = allKeys().flatMap(({ key }) => [...key.flags ?? [], ...key.env ?? []]);
  assert.deepEqual(names, [...new Set(names)]);
});
