/** A configuration that changes while the server runs. @module */
import assert from "node:assert/strict";
import { eventually, onWorkbench, refused } from "../support/workbench.ts";
import type { Workbench } from "../support/workbench.ts";

const test = onWorkbench();

async function withConfiguration(
  bench: Workbench,
  body: (change: (edit: (text: string) => string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const { configPath } = bench.node;
  const before = await Deno.readTextFile(configPath);
  const write = async (text: string) => {
    // As an editor does: whole, under another name, and then in its place.
    await Deno.writeTextFile(`${configPath}.new`, text);
    await Deno.rename(`${configPath}.new`, configPath);
  };
  try {
    await body((edit) => write(edit(before)));
  } finally {
    await write(before);
  }
}

async function logged(bench: Workbench, pattern: RegExp): Promise<void> {
  await eventually(
    `the log says ${pattern}`,
    async () => pattern.test(await Deno.readTextFile(bench.server.logPath)) || undefined,
  );
}

test("a changed file pins images, adds handlers and turns up the log, without a restart", async (bench) => {
  const pinned = async () => {
    const { image } = await bench.client.images.imageStatus({ image: { image: bench.image() } });
    return image?.pinned;
  };
  assert.equal(await pinned(), false);
  await refused(bench.sandbox({ handler: "second" }), "NOT_FOUND", /second/);
  await withConfiguration(bench, async (change) => {
    await change((text) =>
      text.replace("[sauropod.image]", '[sauropod.image]\npinned_images = ["*busybox*"]')
        .replace("[sauropod.runtime]", '[sauropod.runtime]\nlog_level = "debug"\npids_limit = 99') +
      `\n[sauropod.runtime.runtimes.second]\nruntime_path = "/usr/sbin/runc"\nruntime_root = "${bench.node.runRoot}/second"\n`
    );
    await eventually("the image is pinned", async () => await pinned() || undefined);
    await logged(bench, /take effect at the next start.*runtime\.pids_limit/);
    const pod = await bench.pod({ handler: "second" });
    assert.equal(await pod.sh("echo well"), "well");
    // The handler goes, and its container can still be used, stopped and removed.
    await change((text) => text);
    await eventually("the image is no longer pinned", async () => !await pinned() || undefined);
    await refused(bench.sandbox({ handler: "second" }), "NOT_FOUND", /second/);
    assert.equal(await pod.sh("echo still"), "still");
  });
});

test("a wrong file keeps the old values and says why, and SIGHUP reads the right one", async (bench) => {
  await withConfiguration(bench, async (change) => {
    await change((text) => text.replace("[sauropod.runtime]", "[sauropod.runtime]\nlog_levle = 1"));
    await logged(bench, /not reloaded: the one in force stays.*log_levle.*log_level is meant/);
    await change((text) => text.replace(/runtime_path = .*/, 'runtime_path = "/no/such/runc"'));
    await logged(bench, /not reloaded: the one in force stays.*\/no\/such\/runc/);
    const pod = await bench.pod();
    assert.equal(await pod.sh("echo well"), "well");
    await change((text) => text);
  });
  Deno.kill(bench.server.pid, "SIGHUP");
  await logged(bench, /Configuration reloaded.*SIGHUP/);
});
