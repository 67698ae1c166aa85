import assert from "node:assert/strict";
import {
  DeadlineExceededError,
  FailedPreconditionError,
  NotFoundError,
} from "../../src/errors/mod.ts";
import { HANG_MS, runcHandler, RuntimeFixture } from "./runtime_fixture.ts";

const options = { sanitizeOps: false, sanitizeResources: false };

Deno.test(
  "a handler that does not work is left out and says why when asked for",
  options,
  async () => {
    const root = await Deno.makeTempDir();
    try {
      await using fixture = await RuntimeFixture.open({
        handlers: [
          runcHandler(root),
          runcHandler(root, { name: "gone", runtimePath: "/no/such/runtime" }),
        ],
      });
      const { runtime } = fixture;
      assert.deepEqual(runtime.handlers().map(({ name, isDefault }) => [name, isDefault]), [
        ["runc", true],
      ]);
      assert.equal(runtime.resolveHandler(""), "runc");
      assert.throws(() => runtime.resolveHandler("gone"), /\/no\/such\/runtime/);
      assert.throws(() => runtime.resolveHandler("other"), NotFoundError);
      const [report] = runtime.reports();
      assert.match(report?.runtimeVersion ?? "", /^\d+\.\d+\.\d+/);
      assert.match(report?.monitorVersion ?? "", /^2\./);
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
);

Deno.test("a default handler without its program stops the start", options, async () => {
  await assert.rejects(
    RuntimeFixture.open({ handlers: [runcHandler("/tmp", { runtimePath: "/no/such/runtime" })] }),
    NotFoundError,
  );
});

Deno.test("a creation that hangs ends at its time-out and can be removed", options, async () => {
  const root = await Deno.makeTempDir();
  try {
    const script = `${root}/slow-runc`;
    await Deno.writeTextFile(
      script,
      '#!/bin/sh\ncase " $* " in *" create "*) exec sleep 1000;; *) exec runc "$@";; esac\n',
      { mode: 0o755 },
    );
    await using fixture = await RuntimeFixture.open({
      handlers: [runcHandler(root, { runtimePath: script, createTimeoutMs: 300 })],
    });
    const place = await fixture.place({ args: ["true"] });
    const create = () =>
      fixture.runtime.create(
        { place, name: "slow", terminal: false, stdin: false, stdinOnce: false },
        AbortSignal.timeout(HANG_MS),
      );
    await assert.rejects(create(), DeadlineExceededError);
    await fixture.remove(place);
    await assert.rejects(create(), DeadlineExceededError);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("a refused creation tells the runtime's reason", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const place = await fixture.place({ args: ["true"] });
  const config = JSON.parse(await Deno.readTextFile(`${place.bundle}/config.json`));
  config.root.path = "/no/such/rootfs";
  await Deno.writeTextFile(`${place.bundle}/config.json`, JSON.stringify(config));
  await assert.rejects(
    fixture.runtime.create(
      { place, name: "bad", terminal: false, stdin: false, stdinOnce: false },
      AbortSignal.timeout(HANG_MS),
    ),
    (error) => {
      assert.ok(error instanceof FailedPreconditionError, String(error));
      assert.match(error.message, /create failed: .*\/no\/such\/rootfs/);
      assert.ok(!error.message.includes("level="));
      return true;
    },
  );
});
