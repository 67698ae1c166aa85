import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { authFor, defaultAuthFiles, loadAuthFile, parseAuthFile } from "./auth_file.ts";

const auth = (text: string) => ({ auth: btoa(text) });
const file = (value: unknown, legacy = false) =>
  parseAuthFile(JSON.stringify(value), "/etc/auth.json", legacy);
const user = (read: ReturnType<typeof file>, name: string) => {
  const answer = authFor(read, name);
  return answer.kind === "credentials" && "username" in answer.credentials
    ? answer.credentials.username
    : undefined;
};

Deno.test("authFor() takes the longest key that is the name or a parent of it", () => {
  const read = file({
    auths: {
      "quay.io": auth("host:1"),
      "quay.io/team": auth("team:2:with colon"),
      "https://index.docker.io/v1/": auth("docker:3"),
      "localhost:5000": auth("local:4"),
      "empty.io": {},
    },
  });
  const table: readonly [string, string | undefined][] = [
    ["quay.io/x", "host"],
    ["quay.io/team/app", "team"],
    ["quay.io/teams/app", "host"],
    ["docker.io/library/busybox", "docker"],
    ["localhost:5000/a", "local"],
    ["localhost/a", undefined],
    ["empty.io/a", undefined],
  ];
  for (const [name, expected] of table) assert.equal(user(read, name), expected, name);
  assert.deepEqual(authFor(read, "quay.io/team"), {
    kind: "credentials",
    credentials: { username: "team", password: "2:with colon" },
  });
});

Deno.test("parseAuthFile() refuses wrong files without showing what they hold", () => {
  for (
    const text of [
      "secret",
      '["secret"]',
      '{"auths":"secret"}',
      '{"credHelpers":{"a":"../secret"}}',
      '{"credsStore":"/bin/secret"}',
    ]
  ) {
    assert.throws(
      () => parseAuthFile(text, "/etc/auth.json"),
      (error: unknown) =>
        error instanceof FailedPreconditionError && !error.message.includes("secret") &&
        error.message.includes("/etc/auth.json"),
      text,
    );
  }
});

Deno.test("authFor() tells a wrong entry when it is needed, and not what it holds", () => {
  for (const entry of ["secret", { auth: "secret!" }, { auth: btoa("secret") }]) {
    const read = file({ auths: { "a.io": entry, "b.io": auth("u:p") } });
    assert.throws(
      () => authFor(read, "a.io/x"),
      (error: unknown) =>
        error instanceof FailedPreconditionError && !error.message.includes("secret") &&
        error.message.includes("/etc/auth.json"),
    );
    assert.equal(user(read, "b.io/x"), "u");
  }
});

Deno.test("authFor() names the helper of a host, and the store for hosts without an entry", () => {
  const read = file({
    auths: { "quay.io": auth("u:p"), "plain.io": auth("u:p"), "in-store.io": {} },
    credHelpers: { "quay.io": "ecr-login" },
    credsStore: "secretservice",
  });
  const helper = (name: string) => {
    const answer = authFor(read, name);
    return answer.kind === "helper" ? `${answer.helper} ${answer.server}` : answer.kind;
  };
  assert.equal(helper("quay.io/a"), "ecr-login quay.io");
  assert.equal(helper("plain.io/a"), "credentials");
  assert.equal(helper("in-store.io:5000/a"), "secretservice in-store.io:5000");
  assert.equal(helper("docker.io/library/a"), "secretservice https://index.docker.io/v1/");
  assert.equal(authFor(file({}), "quay.io/a").kind, "none");
});

Deno.test("authFor() gives identity tokens, and reads .dockercfg", () => {
  assert.deepEqual(
    authFor(file({ auths: { "a.io": { ...auth("u:"), identitytoken: "t" } } }), "a.io/x"),
    { kind: "credentials", credentials: { identityToken: "t" } },
  );
  assert.equal(user(file({ "https://a.io/v1/": auth("old:p") }, true), "a.io/x"), "old");
});

Deno.test("defaultAuthFiles() lists the places of the container tools in their order", () => {
  assert.deepEqual(defaultAuthFiles({ HOME: "/root" }, 0).map(({ path }) => path), [
    "/run/containers/0/auth.json",
    "/root/.config/containers/auth.json",
    "/root/.docker/config.json",
    "/root/.dockercfg",
  ]);
  const env = { XDG_RUNTIME_DIR: "/run/u", XDG_CONFIG_HOME: "/c", DOCKER_CONFIG: "/d", HOME: "/h" };
  assert.deepEqual(defaultAuthFiles(env, 7).map(({ path }) => path), [
    "/run/u/containers/auth.json",
    "/c/containers/auth.json",
    "/d/config.json",
    "/h/.dockercfg",
  ]);
});

Deno.test("loadAuthFile() gives nothing without a file and refuses a huge one", async () => {
  assert.equal(await loadAuthFile({ path: "/nonexistent/auth.json", legacy: false }), undefined);
  const path = await Deno.makeTempFile();
  try {
    await Deno.truncate(path, 1 << 30);
    await assert.rejects(() => loadAuthFile({ path, legacy: false }), /larger than/);
  } finally {
    await Deno.remove(path);
  }
});
