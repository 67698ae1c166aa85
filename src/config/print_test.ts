import assert from "node:assert/strict";
import { type Configuration, defaultConfiguration, type Flavour } from "./configuration.ts";
import type { Key, KeyValue } from "./keys.ts";
import { loadConfiguration } from "./load.ts";
import { allKeys } from "./merged.ts";
import type { NodeFacts } from "./node_facts.ts";
import { printConfiguration } from "./print.ts";

const everything: NodeFacts = {
  findExecutable: (name) => Promise.resolve(`/usr/bin/${name}`),
  isExecutable: () => Promise.resolve(true),
  list: () => Promise.resolve([]),
  hasSystemd: () => Promise.resolve(false),
};

async function load(
  content: string,
  flags: ReadonlyMap<string, readonly string[]> = new Map(),
): Promise<{ configuration: Configuration; flavour: Flavour }> {
  const path = await Deno.makeTempFile({ suffix: ".toml" });
  try {
    await Deno.writeTextFile(path, content);
    return await loadConfiguration({ configPath: path, configDir: "", flags, node: everything });
  } finally {
    await Deno.remove(path);
  }
}

/** A generator of numbers below one from a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = Math.imul(state, 1664525) + 1013904223 | 0;
    return (state >>> 8) / 2 ** 24;
  };
}

const TEXTS = [
  "",
  "/a b",
  'q"uo\\te',
  "tab\t",
  "ümlaut ✓",
  "line\nbreak",
  "del\x7f",
  "# no comment",
];

function arbitrary(key: Key, next: () => number): string[] {
  const pick = () => TEXTS[Math.floor(next() * TEXTS.length)]!;
  switch (key.type) {
    case "boolean":
      return [next() < 0.5 ? "true" : "false"];
    case "integer":
      return [String(Math.floor(next() * 2 ** 40) - 5)];
    case "duration":
      return [`${Math.floor(next() * 5000)}${next() < 0.5 ? "ms" : "us"}`];
    case "strings":
      return [pick(), pick(), pick()];
    default:
      return [pick()];
  }
}

Deno.test("a printed configuration loads back to the same configuration", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const next = random(seed);
    const flags = new Map<string, readonly string[]>();
    for (const { path, key } of allKeys()) {
      const [flag] = key.flags ?? [];
      const usesNode = /^runtime\.(default_runtime|conmon|conmon_env)$/.test(path);
      if (flag === undefined || usesNode || next() < 0.5) continue;
      flags.set(flag, arbitrary(key, next));
    }
    flags.set("runtimes", ["a.b:/bin/a:/run/a", "runc:/bin/runc:/run/runc::true::20MiB"]);
    const written = await load(seed % 2 === 0 ? "[crio]" : "[sauropod]", flags);
    const printed = printConfiguration(written.configuration, { flavour: written.flavour });
    const reread = await load(printed);
    assert.equal(reread.flavour, written.flavour, `seed ${seed}`);
    assert.deepEqual(reread.configuration, written.configuration, `seed ${seed}`);
  }
});

Deno.test("the printed default has every key commented out and no line that is too long", () => {
  for (const flavour of ["sauropod", "crio"] as const) {
    const printed = printConfiguration(defaultConfiguration(flavour), { flavour });
    const live = printed.split("\n").filter((line) => !/^(#.*|\[.*\]|)$/.test(line));
    assert.deepEqual(live, []);
    for (const { path } of allKeys()) {
      assert.match(printed, new RegExp(`^# ${path.split(".").at(-1)} = `, "m"));
    }
  }
});

Deno.test("the printed default uncommented says the same as the default", async () => {
  const printed = printConfiguration(defaultConfiguration(), { flavour: "sauropod" });
  const live = printed.replaceAll(/^# (\[|[a-z_]+ = )/gm, "$1");
  const cgroupfs = new Map<string, readonly string[]>([["cgroup-manager", ["cgroupfs"]]]);
  const [left, right] = [await load(live, cgroupfs), await load("[sauropod]", cgroupfs)];
  assert.deepEqual(left.configuration, right.configuration as unknown as KeyValue);
});
