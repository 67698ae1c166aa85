import assert from "node:assert/strict";
import { breaches } from "./layers.ts";

const module = (target: string) => `import type { X } from "${target}";\n`;

Deno.test("a module may import a lower room through its door", () => {
  assert.deepEqual(
    breaches(new Map([["pod/a.ts", module("../sys/mod.ts")], ["sys/mod.ts", ""]])),
    [],
  );
});

Deno.test("an import against the layers is a breach, also when only a type is imported", () => {
  assert.match(
    breaches(new Map([["sys/a.ts", module("../pod/mod.ts")]]))[0] ?? "",
    /pod is above sys/,
  );
});

Deno.test("an import of another room's private file is a breach", () => {
  assert.match(
    breaches(new Map([["pod/a.ts", module("../sys/_x.ts")]]))[0] ?? "",
    /private to sys/,
  );
});

Deno.test("a cycle inside a room is a breach", () => {
  const found = breaches(new Map([["sys/a.ts", module("./b.ts")], ["sys/b.ts", module("./a.ts")]]));
  assert.match(found[0] ?? "", /cycle: sys\/a.ts -> sys\/b.ts -> sys\/a.ts/);
});

Deno.test("a module of a room may not import the composition", () => {
  assert.match(
    breaches(new Map([["cli/a.ts", module("../compose.ts")]]))[0] ?? "",
    /above every room/,
  );
});
