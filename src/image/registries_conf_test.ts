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
    () => asked("other.io/x", `credential-helpers = ["secretservice"]`),
    /credential-helpers/,
  );
  assert.throws(
    () => asked("other.io/x", `[registries.search]\nregistries = ["a.b"]`),
    /registries/,
  );
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
    const loaded = await loadRegistriesConf(`${root}/r.conf`, `${root}/d`);
    assert.deepEqual(loaded.searchRegistries, ["b.example"]);
    assert.equal(loaded.registries[0]?.blocked, true);
    assert.equal(loaded.registries[0]?.file, `${root}/d/2.conf`);
    assert.deepEqual(
      await loadRegistriesConf(`${root}/none`, `${root}/none.d`),
      NO_REGISTRIES_CONF,
    );
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
