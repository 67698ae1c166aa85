import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors/mod.ts";
import { cniListJson, parseCniList } from "./cni_list.ts";

const list = (plugins: unknown, more: Record<string, unknown> = {}) => ({
  cniVersion: "1.0.0",
  name: "net",
  plugins,
  ...more,
});

Deno.test("a list keeps its plugins in order, with capabilities and IPAM", () => {
  const parsed = parseCniList(list([
    { type: "bridge", ipam: { type: "host-local", subnet: "10.0.0.0/24" } },
    { type: "portmap", capabilities: { portMappings: true, aliases: false } },
  ]));
  assert.deepEqual(parsed.plugins.map(({ type, ipam }) => [type, ipam]), [
    ["bridge", "host-local"],
    ["portmap", undefined],
  ]);
  assert.deepEqual([...parsed.plugins[1]!.capabilities], ["portMappings"]);
  assert.deepEqual(parseCniList(cniListJson(parsed)), parsed, "the record reads back");
});

Deno.test("a single plugin's configuration becomes a list of one", () => {
  const parsed = parseCniList({ cniVersion: "0.4.0", name: "one", type: "ptp" });
  assert.deepEqual(parsed.plugins.map(({ type }) => type), ["ptp"]);
});

Deno.test("of several versions the newest that is understood counts", () => {
  const plugins = [{ type: "ptp" }];
  assert.equal(
    parseCniList({ name: "n", cniVersions: ["0.4.0", "1.1.0", "9.0.0"], plugins }).cniVersion,
    "1.1.0",
  );
  assert.throws(() => parseCniList({ name: "n", cniVersion: "9.0.0", plugins }), /9\.0\.0/);
  assert.throws(() => parseCniList({ name: "n", plugins }), InvalidArgumentError);
});

Deno.test("disableCheck and disableGC may be true or the text true, and reach the record", () => {
  for (const yes of [true, "true"]) {
    const parsed = parseCniList(list([{ type: "a" }], { disableCheck: yes, disableGC: yes }));
    assert.deepEqual([parsed.disableCheck, parsed.disableGC], [true, true]);
    const recorded = parseCniList(cniListJson(parsed));
    assert.deepEqual([recorded.disableCheck, recorded.disableGC], [true, true]);
  }
  const parsed = parseCniList(list([{ type: "a" }], { disableCheck: "false" }));
  assert.deepEqual([parsed.disableCheck, parsed.disableGC], [false, false]);
});

for (
  const [what, json] of [
    ["disableGC that is neither", list([{ type: "a" }], { disableGC: "maybe" })],
    ["a text", "x"],
    ["a list", []],
    ["no name", list([{ type: "a" }], { name: undefined })],
    ["a name with a path", list([{ type: "a" }], { name: "../x" })],
    ["no plugins", list([])],
    ["too many plugins", list(Array.from({ length: 33 }, () => ({ type: "a" })))],
    ["a plugin that is a text", list(["bridge"])],
    ["a plugin without a type", list([{}])],
    ["a plugin with a path", list([{ type: "../../bin/sh" }])],
    ["a plugin with a slash", list([{ type: "bin/sh" }])],
    ["a plugin named ..", list([{ type: ".." }])],
    ["a plugin that is an option", list([{ type: "-x" }])],
    ["an IPAM plugin with a path", list([{ type: "bridge", ipam: { type: "/bin/sh" } }])],
    ["capabilities that are a list", list([{ type: "bridge", capabilities: ["x"] }])],
  ] as const
) {
  Deno.test(`a configuration with ${what} is refused`, () => {
    assert.throws(() => parseCniList(json), InvalidArgumentError);
  });
}
