import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { parseImageName } from "./reference.ts";
import { loadRegistriesConf, NO_REGISTRIES_CONF, parseRegistriesConf } from "./registries_conf.ts";
import { candidates } from "./short_names.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const conf = (text: string) => parseRegistriesConf(text, "/etc/r.conf");

Deno.test("parseRegistriesConf() refuses version 1 of the form, saying what to write instead", () => {
  for (const table of ["search", "insecure", "block"]) {
    assert.throws(
      () => conf(`[registries.${table}]\nregistries = ["a.b"]`),
      (error: unknown) =>
        error instanceof FailedPreconditionError && error.message.includes("version 1") &&
        error.message.includes("/etc/r.conf") && error.details.remedy!.includes("[[registry]]"),
    );
  }
});

Deno.test("credential-helpers name programs, in order, and drop-ins replace them", () => {
  assert.deepEqual(conf("").credentialHelpers, ["containers-auth.json"]);
  assert.deepEqual(
    conf(`credential-helpers = ["ecr-login", "containers-auth.json"]`).credentialHelpers,
    ["ecr-login", "containers-auth.json"],
  );
  for (const name of ["", "../x", "a b", "/bin/sh"]) {
    assert.throws(() => conf(`credential-helpers = ["${name}"]`), /credential-helpers/);
  }
});

Deno.test("parseRegistriesConf() refuses wrong values, naming file and key", () => {
  for (
    const text of [
      "x = ",
      `unqualified-search-registries = "docker.io"`,
      `unqualified-search-registries = ["https://docker.io"]`,
      `short-name-mode = "loose"`,
      `[[registry]]\nblocked = true`,
      `[[registry]]\nlocation = "a.b"\nblocked = "true"`,
      `[[registry]]\nlocation = "a.b"\n[[registry]]\nlocation = "a.b"`,
      `[[registry]]\nprefix = "*.a/b"`,
      `[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\nlocation = ""`,
      `[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\nlocation = "c.d"\npull-from-mirror="x"`,
      `[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\nlocation = "c.d"\nother="x"`,
      `[registry]\nlocation = "a.b"`,
      `[aliases]\nbusybox = "busybox"`,
      `[aliases]\nbusybox = "a.example/busybox:v1"`,
      `[aliases]\n"busybox:v1" = "a.example/busybox"`,
      `[aliases]\n"a.example/busybox" = "b.example/busybox"`,
      `[[registry]]\nprefix = "*.a.b:5000"`,
      `[[registry]]\nlocation = "a.b"\npull-from-mirror = "all"`,
      `[[registry]]\nlocation = "a.b/c@${DIGEST}"`,
      `[[registry]]\nlocation = "a.b"\nmirror-by-digest-only = true\n[[registry.mirror]]\n` +
      `location = "c.d"\npull-from-mirror = "tag-only"`,
    ]
  ) {
    assert.throws(
      () => conf(text),
      (error: unknown) =>
        error instanceof FailedPreconditionError && error.message.includes("/etc/r.conf"),
      text,
    );
  }
});

Deno.test("loadRegistriesConf() lets drop-ins replace what they name", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/d`);
    await Deno.writeTextFile(
      `${root}/r.conf`,
      `unqualified-search-registries = ["a.example"]\n[[registry]]\nlocation = "x.io"`,
    );
    await Deno.writeTextFile(`${root}/d/2.conf`, `[[registry]]\nlocation = "x.io"\nblocked = true`);
    await Deno.writeTextFile(`${root}/d/1.conf`, `unqualified-search-registries = ["b.example"]`);
    await Deno.writeTextFile(`${root}/d/ignored.txt`, `not toml`);
    const sources = { files: [`${root}/r.conf`], directories: [`${root}/d`] };
    const loaded = await loadRegistriesConf(sources);
    assert.deepEqual(loaded.searchRegistries, ["b.example"]);
    assert.equal(loaded.registries[0]?.blocked, true);
    assert.equal(loaded.registries[0]?.file, `${root}/d/2.conf`);
    await Deno.writeTextFile(`${root}/d/3.conf`, `unqualified-search-registries = []`);
    assert.deepEqual((await loadRegistriesConf(sources)).searchRegistries, []);
    assert.deepEqual(
      await loadRegistriesConf({ files: [`${root}/none`], directories: [`${root}/none.d`] }),
      NO_REGISTRIES_CONF,
    );
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("loadRegistriesConf() reads the first main file that is there, and recorded aliases last", async () => {
  const root = await Deno.makeTempDir();
  try {
    const aliasCache = `${root}/aliases.conf`;
    const sources = {
      files: [`${root}/own.conf`, `${root}/system.conf`],
      directories: [],
      aliasCache,
    };
    await Deno.writeTextFile(
      `${root}/system.conf`,
      `[aliases]\napp = "system.example/app"\nother = "system.example/other"`,
    );
    const meaning = async (name: string) =>
      candidates(parseImageName(name), await loadRegistriesConf(sources)).map(String);
    assert.deepEqual(await meaning("app"), ["system.example/app:latest"]);
    await Deno.writeTextFile(aliasCache, `[aliases]\n  "app" = "recorded.example/app"\n`);
    assert.deepEqual(await meaning("app:v1"), ["recorded.example/app:v1"]);
    assert.deepEqual(await meaning("other"), ["system.example/other:latest"]);
    await Deno.writeTextFile(
      `${root}/own.conf`,
      `unqualified-search-registries = ["own.example"]`,
    );
    assert.deepEqual(await meaning("other"), ["own.example/other:latest"]);
    await Deno.writeTextFile(aliasCache, `[aliases]\napp = 1\n`);
    await assert.rejects(() => meaning("app"), /aliases\.conf/);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
