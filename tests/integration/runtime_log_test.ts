import assert from "node:assert/strict";
import { FailedPreconditionError } from "../../src/errors/mod.ts";
import { RuntimeFixture } from "./runtime_fixture.ts";

const options = { sanitizeOps: false, sanitizeResources: false };

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test(
  "a log that is rotated while 50 MB/s are written loses, doubles and tears no line",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    // 1 KiB a line, numbered: 40 bursts of 5 MB.
    const lines = 200_000;
    const burst =
      `seq $((i * 5000 + 1)) $((i * 5000 + 5000)) | awk '{ printf "%s %01000d\\n", $1, 0 }'`;
    const { place, created, exited } = await fixture.run({
      args: ["sh", "-c", `i=0; while [ $i -lt 40 ]; do ${burst}; i=$((i + 1)); sleep 0.05; done`],
    });
    const rotated: string[] = [];
    const ended = { yet: false };
    exited.then(() => ended.yet = true);
    while (!ended.yet) {
      await pause(100);
      const target = `${place.logPath}.${rotated.length}`;
      await Deno.rename(place.logPath, target);
      rotated.push(target);
      try {
        await Promise.all([
          fixture.runtime.reopenLog(place, created),
          fixture.runtime.reopenLog(place, created),
        ]);
        await fixture.runtime.reopenLog(place, created);
      } catch (error) {
        // As the kubelet does when the container ends just then.
        assert.ok(error instanceof FailedPreconditionError, String(error));
        await Deno.rename(target, place.logPath);
        rotated.pop();
      }
    }
    assert.equal((await exited).exitCode, 0);
    assert.ok(rotated.length >= 10, `${rotated.length} rotations`);

    let expected = 1;
    let pending = "";
    for (const path of [...rotated, place.logPath]) {
      const text = await Deno.readTextFile(path);
      assert.ok(text === "" || text.endsWith("\n"), `${path} ends inside a line`);
      for (const line of text.split("\n").slice(0, -1)) {
        const [, stream, tag, ...content] = line.split(" ");
        assert.equal(stream, "stdout");
        pending += content.join(" ");
        if (tag === "P") continue;
        assert.equal(pending.length, String(expected).length + 1001, `line ${expected} in ${path}`);
        assert.equal(pending.slice(0, pending.indexOf(" ")), String(expected), path);
        pending = "";
        expected++;
      }
    }
    assert.equal(expected, lines + 1);
  },
);

Deno.test(
  "a log that is already held is not reopened, so nothing of it is lost",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    const { place, created } = await fixture.run({ args: ["sh", "-c", "echo one; sleep 1000"] });
    while ((await fixture.log(place).catch(() => [])).length === 0) await pause(5);
    const before = await Deno.stat(place.logPath);
    for (let round = 0; round < 3; round++) await fixture.runtime.reopenLog(place, created);
    assert.equal((await Deno.stat(place.logPath)).ino, before.ino);
    assert.deepEqual(await fixture.log(place), ["stdout F one"]);
  },
);

Deno.test("a log without its monitor cannot be reopened", options, async () => {
  await using fixture = await RuntimeFixture.open();
  const { place, created } = await fixture.run({ args: ["sleep", "1000"] });
  fixture.processes.signal(created.monitor, 9);
  while (fixture.processes.isAlive(created.monitor)) await pause(1);
  await assert.rejects(fixture.runtime.reopenLog(place, created), FailedPreconditionError);
});
