import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { credentialsFor, loadAuthFile, parseAuthFile } from "./auth_file.ts";

const auth = (text: string) => ({ auth: btoa(text) });
const file = (value: unknown) => parseAuthFile(JSON.stringify(value), "/etc/auth.json");

Deno.test("credentialsFor() takes the longest key that is the name or a parent of it", () => {
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
  for (const [name, user] of table) assert.equal(credentialsFor(read, name)?.username, user, name);
  assert.equal(credentialsFor(read, "quay.io/team")?.password, "2:with colon");
});

Deno.test("parseAuthFile() refuses wrong files without showing what they hold", () => {
  for (
    const text of [
      "secret",
      '{"auths":"secret"}',
      '{"auths":{"a":"secret"}}',
      '{"auths":{"a":{"auth":"secret!"}}}',
      `{"auths":{"a":{"auth":"${btoa("secret")}"}}}`,
      '{"auths":{"a":{"identitytoken":"secret"}}}',
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

Deno.test("credentialsFor() fails for an entry that is with a helper program", () => {
  const read = file({ credHelpers: { "quay.io": "ecr-login" } });
  assert.throws(() => credentialsFor(read, "quay.io/a"), /ecr-login/);
  assert.equal(credentialsFor(read, "other.io/a"), undefined);
});

Deno.test("loadAuthFile() gives nothing without a file and refuses a huge one", async () => {
  assert.equal(await loadAuthFile("/nonexistent/auth.json"), undefined);
  const path = await Deno.makeTempFile();
  try {
    await Deno.truncate(path, 1 << 30);
    await assert.rejects(() => loadAuthFile(path), /larger than/);
  } finally {
    await Deno.remove(path);
  }
});
