import assert from "node:assert/strict";
import { FailedPreconditionError, UnimplementedError } from "../errors/mod.ts";
import { endpoints } from "./endpoints.ts";
import { parseReference } from "./reference.ts";
import { parseRegistriesConf } from "./registries_conf.ts";

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
