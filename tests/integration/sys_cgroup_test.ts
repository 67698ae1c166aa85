import assert from "node:assert/strict";
import { FailedPreconditionError, InvalidArgumentError } from "../../src/errors/mod.ts";
import { Cgroups, createLinuxKernel, detectNodeFacts } from "../../src/sys/mod.ts";

const facts = detectNodeFacts();
const cgroups = new Cgroups({ kernel: createLinuxKernel(), layout: facts.cgroups });
const soon = () => AbortSignal.timeout(20_000);

/** A group of ours, removed whatever happens. */
function group(): { path: string } & AsyncDisposable {
  const path = `/sauropod-test-${crypto.randomUUID()}`;
  return {
    path,
    async [Symbol.asyncDispose]() {
      await cgroups.killAll(path, soon());
      await cgroups.remove(path, soon());
    },
  };
}

/** A shell that joins a group everywhere and then runs a script. */
function member(path: string, script: string): Deno.ChildProcess {
  const directories = facts.cgroups.hierarchies.map(({ mountPoint }) => `${mountPoint}${path}`);
  const join = 'for d in "$@"; do echo $$ > "$d/cgroup.procs" || exit 9; done; echo joined;';
  return new Deno.Command("/bin/sh", {
    args: ["-c", `${join} ${script}`, "sh", ...directories],
    stdout: "piped",
  }).spawn();
}

async function joined(child: Deno.ChildProcess): Promise<void> {
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  assert.equal(new TextDecoder().decode(value), "joined\n");
  await reader.cancel();
}

Deno.test("a group is made with its parents in every hierarchy, and removed alone", async () => {
  await using outer = group();
  const inner = `${outer.path}/a/b`;
  cgroups.create(inner);
  cgroups.create(inner);
  for (const { mountPoint } of facts.cgroups.hierarchies) {
    assert.ok(Deno.statSync(`${mountPoint}${inner}`).isDirectory);
  }
  await cgroups.remove(inner, soon());
  await cgroups.remove(inner, soon());
  assert.equal(cgroups.exists(inner), false);
  assert.equal(cgroups.exists(`${outer.path}/a`), true);
});

Deno.test("processes can join a new group, are listed with those below, and all killed", async () => {
  await using outer = group();
  const inner = `${outer.path}/deeper`;
  cgroups.create(inner);
  const first = member(outer.path, "exec sleep 60");
  const second = member(inner, "sleep 61 & sleep 62 & wait");
  await Promise.all([joined(first), joined(second)]);
  assert.ok(cgroups.pids(outer.path).includes(first.pid));
  assert.ok(cgroups.pids(outer.path).includes(second.pid));
  assert.ok(!cgroups.pids(inner).includes(first.pid));
  await assert.rejects(
    cgroups.remove(outer.path, AbortSignal.abort()),
    FailedPreconditionError,
    "a group in use stays",
  );
  await cgroups.killAll(outer.path, soon());
  assert.deepEqual(cgroups.pids(outer.path), []);
  assert.equal((await first.status).signal, "SIGKILL");
  assert.equal((await second.status).signal, "SIGKILL");
});

Deno.test("processes that fork without end are all killed", async () => {
  await using outer = group();
  cgroups.create(outer.path);
  // Each generation starts the next and ends: a list of pids is old before it is read.
  const script = "f() { sleep 0.01; f & }; f & f & f & wait; sleep 60";
  const child = member(outer.path, script);
  await joined(child);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await cgroups.killAll(outer.path, soon());
  await child.status;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(cgroups.pids(outer.path), []);
});

Deno.test("killing an absent or empty group succeeds", async () => {
  await cgroups.killAll(`/sauropod-test-${crypto.randomUUID()}`, AbortSignal.abort());
  await using outer = group();
  cgroups.create(outer.path);
  await cgroups.killAll(outer.path, AbortSignal.abort());
});

Deno.test("out-of-memory kills are counted", async () => {
  await using outer = group();
  cgroups.create(outer.path);
  assert.deepEqual(cgroups.memoryEvents(outer.path), { oomKills: 0 });
  const directory = cgroups.directoryOf(outer.path, "memory");
  assert.ok(directory !== undefined);
  const limit = facts.cgroups.mode === "unified" ? "memory.max" : "memory.limit_in_bytes";
  Deno.writeTextFileSync(`${directory}/${limit}`, "8000000", { create: false });
  const child = member(outer.path, "head -c 60000000 /dev/zero | tail -c 50000000 >/dev/null");
  await joined(child);
  await child.status;
  assert.ok((cgroups.memoryEvents(outer.path)?.oomKills ?? 0) > 0);
});

Deno.test("the root, parents and odd paths are refused", async () => {
  for (const path of ["", "/", "a", "/a/../b", "/a//b", "/..", "/a/.", "/a\0b", "/a/"]) {
    assert.throws(() => cgroups.create(path), InvalidArgumentError, path);
    await assert.rejects(cgroups.remove(path, soon()), InvalidArgumentError);
    await assert.rejects(cgroups.killAll(path, soon()), InvalidArgumentError);
  }
});
