import assert from "node:assert/strict";
import {
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  SauropodError,
} from "../errors/mod.ts";
import { NodeProcessRunner } from "../sys/mod.ts";
import { CredentialHelpers } from "./credential_helper.ts";

const PATH = "/usr/bin:/bin";

async function withHelper(
  script: string,
  act: (helpers: (timeoutMs?: number) => CredentialHelpers) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const program = `${folder}/docker-credential-test`;
    await Deno.writeTextFile(program, `#!/bin/sh\n${script}\n`);
    await Deno.chmod(program, 0o755);
    await act((timeoutMs = 60_000) =>
      new CredentialHelpers({
        runner: new NodeProcessRunner(),
        env: { PATH: `${folder}:${PATH}`, MARK: "seen" },
        timeoutMs,
      })
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const signal = () => new AbortController().signal;

Deno.test("CredentialHelpers.get() gives the server on stdin and reads user and secret", () =>
  withHelper(
    `read -r server || true\nprintf '{"ServerURL":"x","Username":"%s","Secret":"%s %s"}' "$server" "$1" "$MARK"`,
    async (helpers) => {
      assert.deepEqual(await helpers().get("test", "quay.io:5000", signal()), {
        username: "quay.io:5000",
        password: "get seen",
      });
    },
  ));

Deno.test("CredentialHelpers.get() takes the user <token> for an identity token", () =>
  withHelper(`echo '{"Username":"<token>","Secret":"t"}'`, async (helpers) => {
    assert.deepEqual(await helpers().get("test", "a.io", signal()), { identityToken: "t" });
  }));

Deno.test("CredentialHelpers.get() tells a helper that has none from one that failed", async () => {
  await withHelper(
    `echo 'credentials not found in native keychain'; exit 1`,
    async (helpers) => assert.equal(await helpers().get("test", "a.io", signal()), undefined),
  );
  await withHelper(`echo 'the keyring is locked'; exit 1`, async (helpers) => {
    await assert.rejects(
      helpers().get("test", "a.io", signal()),
      (error: unknown) =>
        error instanceof FailedPreconditionError && error.message.includes("the keyring is locked"),
    );
  });
  await withHelper("true", async (helpers) => {
    await assert.rejects(
      helpers().get("absent", "a.io", signal()),
      (error: unknown) =>
        error instanceof FailedPreconditionError &&
        error.message.includes("docker-credential-absent"),
    );
  });
});

Deno.test("CredentialHelpers.get() shows one line of a helper that failed, and no credentials", async () => {
  const answer = `{"Username":"u","Secret":"hunter2"}`;
  const scripts: [string, RegExp][] = [
    [`echo '${answer}'; exit 3`, /: status 3$/],
    [`echo 'cannot write ${answer}'; exit 3`, /: status 3$/],
    [`echo '["hunter2"]'; exit 3`, /: status 3$/],
    [`echo 'no session'; echo 'hunter2'; exit 3`, /: status 3, "no session"$/],
    [`head -c 5000 /dev/zero | tr '\\0' s; exit 3`, /: status 3, "s{125}\.\.\."$/],
  ];
  for (const [script, message] of scripts) {
    await withHelper(script, async (helpers) => {
      await assert.rejects(helpers().get("test", "a.io", signal()), (error: Error) => {
        assert.match(error.message, message);
        assert(!error.message.includes("hunter2"), error.message);
        return true;
      });
    });
  }
});

Deno.test("CredentialHelpers.get() refuses wrong answers without showing them", async () => {
  for (
    const script of [
      `echo secret`,
      `echo '{"Username":"u","Secret":7,"x":"secret"}'`,
      `head -c 1000000 /dev/zero | tr '\\0' s`,
    ]
  ) {
    await withHelper(script, async (helpers) => {
      await assert.rejects(
        helpers().get("test", "a.io", signal()),
        (error: unknown) => error instanceof SauropodError && !error.message.includes("secret"),
        script,
      );
    });
  }
});

Deno.test("CredentialHelpers.get() ends a helper that hangs, and one that nobody waits for", () =>
  withHelper("exec sleep 1000", async (helpers) => {
    await assert.rejects(helpers(100).get("test", "a.io", signal()), DeadlineExceededError);
    const leaving = new AbortController();
    const asked = helpers().get("test", "a.io", leaving.signal);
    leaving.abort();
    await assert.rejects(asked, CancelledError);
  }));
