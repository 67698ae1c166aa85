import assert from "node:assert/strict";

Deno.test("orphans come to a spawner that reaps them, with their exit codes", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${import.meta.dirname}/testdata/reap_orphans.ts`],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const [asked, rest] = new TextDecoder().decode(stdout).trim().split("\n").map((line) =>
    JSON.parse(line)
  );
  assert.deepEqual(asked.early, { exitCode: 3, endedBy: null });
  assert.deepEqual(asked.late, { exitCode: null, endedBy: "SIGKILL" });
  assert.match(asked.stranger, /Process 1 did not come to this one/);
  assert.deepEqual(rest, { ending: { exitCode: 7, endedBy: null }, zombies: [] });
});
