import assert from "node:assert/strict";

/** A program in `testdata/`, begun by a shell that has run `before`. */
async function run(name: string, before = ":"): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("/bin/sh", {
    args: ["-c", `${before}; exec "$0" run -A --no-check "$1"`, Deno.execPath(), fileOf(name)],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

const fileOf = (name: string) => `${import.meta.dirname}/testdata/${name}`;

Deno.test("orphans come to a spawner that reaps them, with their exit codes", async () => {
  const [asked, rest] = (await run("reap_orphans.ts")).split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(asked.early, { exitCode: 3, endedBy: null });
  assert.deepEqual(asked.late, { exitCode: null, endedBy: "SIGKILL" });
  assert.match(asked.stranger, /Process 1 did not come to this one/);
  assert.deepEqual(rest, { ending: { exitCode: 7, endedBy: null }, zombies: [] });
});

Deno.test("signals that were ignored when this process began are not ignored in a child", async () => {
  // As a shell does for what it starts in the background, and nohup.
  const ignored = BigInt(`0x${await run("ignored_by_child.ts", "trap '' HUP INT QUIT TERM USR1")}`);
  // libc keeps the signals 32 and 33 for itself: nobody can set them, and whoever ignored them
  // before is inherited.
  assert.equal(ignored & ~(0b11n << 31n), 0n);
});
