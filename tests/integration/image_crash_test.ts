import assert from "node:assert/strict";
import { ImageBench, insecure } from "./image_bench.ts";
import { startRegistry } from "./registry.ts";
import { buildImage, dockerArchive } from "./test_images.ts";

const LAYERS = [
  [{ path: "one", content: "1\n" }],
  [{ path: "two", content: "2\n" }],
];
const IMAGE = buildImage({ layers: LAYERS });
/** Shares the lower layer. */
const SIBLING = buildImage({ layers: [LAYERS[0]!, [{ path: "three", content: "3\n" }]] });
const ARCHIVED = buildImage({
  layers: LAYERS,
  format: "docker",
  compression: "none",
  config: { Cmd: ["/archived"] },
});

async function child(...args: string[]): Promise<Deno.CommandOutput> {
  const script = new URL("./image_crash_child.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  return await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--unstable-ffi",
      "--quiet",
      "--no-check",
      "--config",
      config,
      script,
      ...args,
    ],
    stderr: "piped",
  }).output();
}

interface Crash {
  readonly operation: "pull" | "load" | "remove";
  readonly text: string;
  /** The image that is operated on. */
  readonly id: string;
  readonly prepare: (bench: ImageBench) => Promise<void>;
}

/** Kills the process at every gate that the operation passes; starts again and looks. */
async function killAtEveryGate(registriesConf: string, crash: Crash): Promise<number> {
  const fresh = async (): Promise<string> => {
    const directory = await Deno.makeTempDir({ prefix: "images-crash-" });
    const bench = await ImageBench.open({ directory, registriesConf });
    await crash.prepare(bench);
    await bench.close();
    return directory;
  };
  const gates = await traced(await fresh(), crash);
  for (const gate of gates) {
    const directory = await fresh();
    const died = await child(directory, `kill:${gate}`, crash.operation, crash.text);
    assert.equal(died.signal, "SIGKILL", `${gate}: ${new TextDecoder().decode(died.stderr)}`);
    await using bench = await ImageBench.open({ directory, registriesConf });
    assert.deepEqual(await bench.leftovers(), [], gate);
    for (const image of bench.images.all()) {
      if (image.top !== null) await bench.read(image.top, "one");
    }
    await finish(bench, crash, gate);
    for (const { id } of bench.images.all()) await bench.images.remove(id);
    assert.deepEqual(await bench.leftovers(), [], gate);
    assert.deepEqual(bench.layers.all(), [], gate);
  }
  return gates.length;
}

/** The same again succeeds. */
async function finish(bench: ImageBench, { operation, text, id }: Crash, gate: string) {
  switch (operation) {
    case "pull":
      assert.equal((await bench.pull(text)).id, id, gate);
      return;
    case "load":
      assert.equal((await bench.images.load({ path: text }))[0]?.id, id, gate);
      return;
    case "remove":
      await bench.images.remove(text);
      assert.equal(bench.images.find(id), undefined, gate);
      // The image that shares a layer is whole.
      assert.equal(bench.images.find(SIBLING.id)?.layers.length, 2, gate);
  }
}

/** Names of all gates that the operation passes, each once. */
async function traced(directory: string, { operation, text }: Crash): Promise<string[]> {
  const trace = `${directory}/trace`;
  try {
    const done = await child(directory, `trace:${trace}`, operation, text);
    assert(done.success, new TextDecoder().decode(done.stderr));
    const passed = (await Deno.readTextFile(trace)).trim().split("\n");
    return [...new Set(passed)];
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a pull killed at any gate leaves nothing half-made and succeeds again", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  const count = await killAtEveryGate(insecure(registry.address), {
    operation: "pull",
    text: `${registry.address}/app:v1`,
    id: IMAGE.id,
    prepare: async () => {},
  });
  assert(count >= 14, `only ${count} gates`);
});

Deno.test("a load killed at any gate leaves nothing half-made and succeeds again", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, dockerArchive([{ image: ARCHIVED, tags: ["app:v1"] }]));
    const count = await killAtEveryGate("", {
      operation: "load",
      text: path,
      id: ARCHIVED.id,
      prepare: async () => {},
    });
    assert(count >= 10, `only ${count} gates`);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a removal killed at any gate is finished by the start or the next removal", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  await registry.push("app", "v2", SIBLING);
  const count = await killAtEveryGate(insecure(registry.address), {
    operation: "remove",
    text: `${registry.address}/app:v1`,
    id: IMAGE.id,
    prepare: async (bench) => {
      await bench.pull(`${registry.address}/app:v1`);
      await bench.pull(`${registry.address}/app:v2`);
    },
  });
  assert(count >= 4, `only ${count} gates`);
});

Deno.test("images come back from their files when the database is gone or damaged", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  await registry.push("app", "v2", SIBLING);
  const registriesConf = insecure(registry.address);
  const directory = await Deno.makeTempDir({ prefix: "images-crash-" });
  let bench = await ImageBench.open({ directory, registriesConf });
  for (const tag of ["v1", "v2"]) await bench.pull(`${registry.address}/app:${tag}`);
  const before = bench.images.all();
  await bench.close();
  for (const damage of ["delete", "truncate", "zero"]) {
    const database = `${directory}/images.db`;
    if (damage === "delete") await Deno.remove(database);
    if (damage === "truncate") await Deno.truncate(database, 100);
    if (damage === "zero") await Deno.writeFile(database, new Uint8Array(8192));
    bench = await ImageBench.open({ directory, registriesConf });
    const sorted = (images: typeof before) => [...images].sort((a, b) => a.id < b.id ? -1 : 1);
    assert.deepEqual(sorted(bench.images.all()), sorted(before), damage);
    await bench.close();
  }
  // One damaged record: that image is gone with its layers, the other is untouched.
  await Deno.remove(`${directory}/images.db`);
  await Deno.writeTextFile(`${directory}/root/images/${IMAGE.id}/record.json`, "{}");
  bench = await ImageBench.open({ directory, registriesConf });
  assert.deepEqual(bench.images.all().map(({ id }) => id), [SIBLING.id]);
  assert.equal(bench.layers.all().length, 2);
  assert.equal((await bench.pull(`${registry.address}/app:v1`)).id, IMAGE.id);
  for (const { id } of bench.images.all()) await bench.images.remove(id);
  assert.deepEqual(await bench.leftovers(), []);
  await bench[Symbol.asyncDispose]();
});

Deno.test("an image that lost a layer is hidden, and a pull fetches that layer alone", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  const name = `${registry.address}/app:v1`;
  const registriesConf = insecure(registry.address);
  const directory = await Deno.makeTempDir({ prefix: "images-crash-" });
  let bench = await ImageBench.open({ directory, registriesConf });
  const { top } = await bench.pull(name);
  const lost = bench.layers.lowerDirectories(top!)[0]!;
  await bench.close();
  await Deno.remove(lost, { recursive: true });

  bench = await ImageBench.open({ directory, registriesConf });
  assert.deepEqual(bench.images.all(), []);
  assert.equal(bench.images.find(name), undefined);
  assert.equal(bench.layers.all().length, 1);
  const states: string[] = [];
  await bench.pull(name, {
    onProgress: ({ layers }) => states.push(layers.map(({ state }) => state).join()),
  });
  assert.deepEqual(states[0], "present,queued");
  assert.equal(await bench.read(top!, "two"), "2\n");
  await bench.close();

  // Hidden images can be removed, too.
  await Deno.remove(lost, { recursive: true });
  bench = await ImageBench.open({ directory, registriesConf });
  await bench.images.remove(name);
  assert.deepEqual(await bench.leftovers(), []);
  assert.deepEqual(bench.layers.all(), []);
  await bench[Symbol.asyncDispose]();
});

Deno.test("pulls and removals of images that share layers never break each other", async () => {
  await using registry = await startRegistry();
  await registry.push("app", "v1", IMAGE);
  await registry.push("app", "v2", SIBLING);
  await using bench = await ImageBench.open({ registriesConf: insecure(registry.address) });
  const rounds = async (tag: string, id: string) => {
    for (let round = 0; round < 12; round++) {
      const record = await bench.pull(`${registry.address}/app:${tag}`);
      assert.equal(record.id, id);
      assert.equal(await bench.read(record.top!, "one"), "1\n");
      await bench.images.remove(id);
    }
  };
  await Promise.all([rounds("v1", IMAGE.id), rounds("v2", SIBLING.id)]);
  assert.deepEqual(bench.images.all(), []);
  assert.deepEqual(bench.layers.all(), []);
  assert.deepEqual(await bench.leftovers(), []);
});
