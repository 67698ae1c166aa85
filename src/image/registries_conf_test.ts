import assert from "node:assert/strict";
import { FailedPreconditionError, UnimplementedError } from "../errors/mod.ts";
import { parseImageName, parseReference } from "./reference.ts";
import {
  candidates,
  endpoints,
  loadRegistriesConf,
  NO_REGISTRIES_CONF,
  parseRegistriesConf,
} from "./registries_conf.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const conf = (text: string) => parseRegistriesConf(text, "/etc/r.conf");
const asked = (name: string, text: string) =>
  endpoints(parseReference(name), conf(text)).map(({ host, repository, insecure, role }) =>
    `${role} ${host} ${repository}${insecure ? " insecure" : ""}`
  );

Deno.test("endpoints() asks the registry that the name says when no entry fits", () => {
  assert.deepEqual(asked("quay.io/a/b", ""), ["registry quay.io a/b"]);
  assert.deepEqual(asked("busybox", ""), ["registry registry-1.docker.io library/busybox"]);
});

Deno.test("endpoints() rewrites by the longest prefix that ends at a boundary", () => {
  const text = `
    [[registry]]
    prefix = "quay.io"
    location = "one.example"
    [[registry]]
    prefix = "quay.io/team"
    location = "two.example:5000/deep"
    insecure = true
    [[registry]]
    prefix = "*.corp.example"
    location = "three.example"
    [[registry]]
    location = "four.example"
    insecure = true`;
  assert.deepEqual(asked("quay.io/a/b", text), ["registry one.example a/b"]);
  assert.deepEqual(asked("quay.io/team/b:v1", text), [
    "registry two.example:5000 deep/b insecure",
  ]);
  assert.deepEqual(asked("quay.io/teams/b", text), ["registry one.example teams/b"]);
  assert.deepEqual(asked("a.b.corp.example/x", text), ["registry three.example x"]);
  assert.deepEqual(asked("corp.example/x", text), ["registry corp.example x"]);
  assert.deepEqual(asked("four.example/x", text), ["registry four.example x insecure"]);
});

Deno.test("endpoints() asks mirrors first and in order, by tag or digest as told", () => {
  const text = `
    [[registry]]
    location = "quay.io"
    [[registry.mirror]]
    location = "m1.example/q"
    insecure = true
    [[registry.mirror]]
    location = "m2.example"
    pull-from-mirror = "digest-only"
    [[registry.mirror]]
    location = "m3.example"
    pull-from-mirror = "tag-only"`;
  assert.deepEqual(asked("quay.io/a", text), [
    "mirror m1.example q/a insecure",
    "mirror m3.example a",
    "registry quay.io a",
  ]);
  assert.deepEqual(asked(`quay.io/a@${DIGEST}`, text), [
    "mirror m1.example q/a insecure",
    "mirror m2.example a",
    "registry quay.io a",
  ]);
  const digestOnly = `
    [[registry]]
    location = "quay.io"
    mirror-by-digest-only = true
    [[registry.mirror]]
    location = "m1.example"`;
  assert.deepEqual(asked("quay.io/a", digestOnly), ["registry quay.io a"]);
  assert.equal(asked(`quay.io/a@${DIGEST}`, digestOnly).length, 2);
});

Deno.test("endpoints() refuses blocked entries, naming file and entry", () => {
  const text = `[[registry]]\nprefix = "quay.io/evil"\nblocked = true`;
  assert.throws(
    () => asked("quay.io/evil/x", text),
    (error: unknown) =>
      error instanceof FailedPreconditionError && error.message.includes("/etc/r.conf") &&
      error.message.includes("quay.io/evil"),
  );
  assert.deepEqual(asked("quay.io/good", text), ["registry quay.io good"]);
});

Deno.test("endpoints() fails by name for what is not built, only where it matters", () => {
  const text = `[[registry]]\nlocation = "quay.io"\nfuture-key = 1`;
  assert.throws(
    () => asked("quay.io/x", text),
    (error: unknown) => error instanceof UnimplementedError && error.message.includes("future-key"),
  );
  assert.equal(asked("other.io/x", text).length, 1);
  assert.throws(
    () => asked("other.io/x", `future-key = true`),
    (error: unknown) => error instanceof UnimplementedError && error.message.includes("future-key"),
  );
  // Concerns layer stores of other tools; nothing here would ask it.
  assert.equal(asked("other.io/x", `additional-layer-store-auth-helper = "x"`).length, 1);
});

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

Deno.test("endpoints() takes prefixes and locations down to a tag or digest", () => {
  const where = (name: string, text: string) =>
    endpoints(parseReference(name), conf(text)).map(({ name, selected }) => `${name} ${selected}`);
  const tagged = `
    [[registry]]
    prefix = "quay.io/team/app:v1"
    location = "mirror.example/pinned/app:stable"
    [[registry]]
    prefix = "quay.io/team/app@${DIGEST}"
    location = "digests.example/app"`;
  assert.deepEqual(where("quay.io/team/app:v1", tagged), ["mirror.example/pinned/app stable"]);
  assert.deepEqual(where("quay.io/team/app:v1.2", tagged), ["quay.io/team/app v1.2"]);
  assert.deepEqual(where("quay.io/team/app", tagged), ["quay.io/team/app latest"]);
  assert.deepEqual(where(`quay.io/team/app@${DIGEST}`, tagged), [`digests.example/app ${DIGEST}`]);
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

Deno.test("candidates() completes short names by alias, then by the search list", () => {
  const name = parseImageName("app:v1");
  const text = `unqualified-search-registries = ["a.example", "b.example/ns"]`;
  assert.deepEqual(candidates(name, conf(text), "disabled").map(String), [
    "a.example/app:v1",
    "b.example/ns/app:v1",
  ]);
  assert.throws(
    () => candidates(name, conf(text)),
    /a\.example\/app:v1, b\.example\/ns\/app:v1/,
  );
  assert.throws(() => candidates(name, conf(text), "enforcing"), FailedPreconditionError);
  assert.equal(candidates(name, conf(`short-name-mode = "disabled"\n${text}`)).length, 2);
  assert.equal(candidates(name, conf(`short-name-mode = "permissive"\n${text}`)).length, 2);
  assert.deepEqual(
    candidates(name, conf(`${text}\n[aliases]\napp = "c.example/x/app"`)).map(String),
    ["c.example/x/app:v1"],
  );
  assert.throws(() => candidates(name, NO_REGISTRIES_CONF), /in full|neither/);
  assert.deepEqual(candidates(parseImageName("q.io/a"), conf(text)).map(String), ["q.io/a:latest"]);
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
