import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { FailedPreconditionError } from "../errors/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { authFor } from "./auth_file.ts";
import { NamespacedAuth } from "./namespaced_auth.ts";
import { parseImageName } from "./reference.ts";

const ENTRY = JSON.stringify({ auths: { "quay.io": { auth: btoa("u:p") } } });

async function withFolder(
  act: (folder: string, auth: NamespacedAuth) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await act(folder, new NamespacedAuth(folder, silentLogger));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const fileOf = (namespace: string, repository: string) =>
  `${namespace}-${createHash("sha256").update(repository).digest("hex")}.json`;
const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("NamespacedAuth.take() moves the file away for one pull and removes it afterwards", () =>
  withFolder(async (folder, auth) => {
    const name = parseImageName("quay.io/team/app:v1");
    assert.equal(await auth.take("ns", name), undefined);
    assert.deepEqual(names(folder), [], "nothing is made where nobody left anything");
    await Deno.writeTextFile(`${folder}/${fileOf("ns", "quay.io/team/app")}`, ENTRY);
    {
      await using taken = await auth.take("ns", name);
      assert.equal(authFor(taken!.file, "quay.io/team/app").kind, "credentials");
      assert.deepEqual(names(folder), ["in-use"]);
      assert.equal(names(`${folder}/in-use`).length, 1);
      assert.equal(await auth.take("ns", name), undefined, "one pull, not two");
      assert.equal(Deno.statSync(`${folder}/in-use`).mode! & 0o777, 0o700);
    }
    assert.deepEqual(names(`${folder}/in-use`), []);
  }));

Deno.test("NamespacedAuth.take() knows short names as the provider does, and other namespaces not", () =>
  withFolder(async (folder, auth) => {
    await Deno.writeTextFile(`${folder}/${fileOf("ns", "docker.io/library/app")}`, ENTRY);
    assert.equal(await auth.take("other", parseImageName("app")), undefined);
    await using taken = await auth.take("ns", parseImageName("app@sha256:" + "0".repeat(64)));
    assert(taken !== undefined);
  }));

Deno.test("NamespacedAuth.take() removes a file that is wrong", () =>
  withFolder(async (folder, auth) => {
    await Deno.writeTextFile(`${folder}/${fileOf("ns", "quay.io/a")}`, "secret");
    await assert.rejects(
      () => auth.take("ns", parseImageName("quay.io/a")),
      (error: unknown) =>
        error instanceof FailedPreconditionError && !error.message.includes("secret"),
    );
    assert.deepEqual(names(`${folder}/in-use`), []);
  }));

Deno.test("NamespacedAuth.recover() makes the directory for its owner alone, and leaves one that is there", () =>
  withFolder(async (folder) => {
    const path = `${folder}/etc/auth`;
    await new NamespacedAuth(path, silentLogger).recover();
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o700);
    assert.equal(Deno.statSync(`${folder}/etc`).mode! & 0o777, 0o755);
    await Deno.chmod(path, 0o750);
    await new NamespacedAuth(path, silentLogger).recover();
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o750);
    // Where none can be made, pulls still work.
    const none = new NamespacedAuth("/proc/none/auth", silentLogger);
    await none.recover();
    assert.equal(await none.take("ns", parseImageName("quay.io/a")), undefined);
  }));

Deno.test("NamespacedAuth.recover() removes what a crash left in use, and nothing else", () =>
  withFolder(async (folder, auth) => {
    await auth.recover();
    await Deno.mkdir(`${folder}/in-use`);
    const left = `${fileOf("ns", "x").slice(0, -5)}-${crypto.randomUUID()}.json`;
    for (const name of [left, "README"]) await Deno.writeTextFile(`${folder}/in-use/${name}`, "");
    await Deno.writeTextFile(`${folder}/${fileOf("ns", "x")}`, ENTRY);
    await auth.recover();
    assert.deepEqual(names(`${folder}/in-use`), ["README"]);
    assert.equal(names(folder).length, 2);
  }));
