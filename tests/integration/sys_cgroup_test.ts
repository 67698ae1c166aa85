import assert from "node:assert/strict";
import { InvalidArgumentError } from "../../src/errors/mod.ts";
import { Cgroups, createLinuxKernel, detectNodeFacts } from "../../src/sys/mod.ts";

const facts = detectNodeFacts();
const cgroups = new Cgroups({ kernel: createLinuxKernel(), layout: facts.cgroups });
/** Guards against a hang. */
const HANG_MS = 20_000;

const FREEZER = cgroups.version === 2
  ? { file: "cgroup.freeze", frozen: "1", thawed: "0" }
  : { file: "freezer.state", frozen: "FROZEN", thawed: "THAWED" };

/** A group's directory in the hierarchy that can freeze it. */
function killableDirectory(path: string): string {
  const hierarchy = facts.cgroups.hierarchies.find(({ version, controllers }) =>
    cgroups.version === 2 ? version === 2 : controllers.includes("freezer")
  );
  return `${hierarchy?.mountPoint}${path}`;
}

/** A group of ours, removed whatever happens. */
function group(): { path: string } & AsyncDisposable {
  const path = `/sauropod-test-${crypto.randomUUID()}`;
  return {
    path,
    async [Symbol.asyncDispose]() {
      await cgroups.destroy(path, HANG_MS);
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
  await cgroups.destroy(inner, HANG_MS);
  await cgroups.destroy(inner, HANG_MS);
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
  cgroups.removeEmpty([outer.path, inner]);
  assert.ok(cgroups.exists(inner), "a group in use stays");
  await cgroups.destroy(outer.path, HANG_MS);
  assert.equal(cgroups.exists(outer.path), false);
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
  await cgroups.destroy(outer.path, HANG_MS);
  await child.status;
  assert.equal(cgroups.exists(outer.path), false);
});

Deno.test("frozen groups are thawed, and killed whoever froze them and at whatever depth", async () => {
  await using outer = group();
  const inner = `${outer.path}/deeper`;
  cgroups.create(inner);
  const child = member(inner, "exec sleep 60");
  await joined(child);
  const state = (path: string) => `${killableDirectory(path)}/${FREEZER.file}`;
  const freeze = () => {
    for (const path of [inner, outer.path]) Deno.writeTextFileSync(state(path), FREEZER.frozen);
  };
  freeze();
  cgroups.thaw(outer.path);
  for (const path of [outer.path, inner]) {
    assert.equal(Deno.readTextFileSync(state(path)).trim(), FREEZER.thawed, path);
  }
  freeze();
  await cgroups.destroy(outer.path, HANG_MS);
  assert.equal((await child.status).signal, "SIGKILL");
});

Deno.test("a dissolved group leaves its members running in the group above", async () => {
  await using outer = group();
  cgroups.create(outer.path);
  const inner = `${outer.path}/one`;
  assert.equal(cgroups.createKillable(inner), true);
  assert.deepEqual(cgroups.children(outer.path), ["one"]);
  assert.throws(() => cgroups.createKillable(`${outer.path}/absent/one`), Deno.errors.NotFound);
  const child = member(outer.path, "exec sleep 60");
  await joined(child);
  Deno.writeTextFileSync(`${killableDirectory(inner)}/cgroup.procs`, String(child.pid));
  assert.deepEqual(cgroups.pids(inner), [child.pid]);
  cgroups.dissolve(inner);
  assert.deepEqual(cgroups.children(outer.path), []);
  assert.ok(cgroups.pids(outer.path).includes(child.pid));
  child.kill("SIGKILL");
  await child.status;
});

Deno.test("destroying an absent or empty group succeeds at once", async () => {
  await cgroups.destroy(`/sauropod-test-${crypto.randomUUID()}`, 0);
  await using outer = group();
  cgroups.create(outer.path);
  await cgroups.destroy(outer.path, 0);
  assert.equal(cgroups.exists(outer.path), false);
});

Deno.test("out-of-memory kills are counted", async () => {
  await using outer = group();
  cgroups.create(outer.path);
  assert.equal(cgroups.oomKills(outer.path), 0);
  const directory = cgroups.directoryOf(outer.path, "memory");
  assert.ok(directory !== undefined);
  const limit = facts.cgroups.mode === "unified" ? "memory.max" : "memory.limit_in_bytes";
  Deno.writeTextFileSync(`${directory}/${limit}`, "8000000", { create: false });
  const child = member(outer.path, "head -c 60000000 /dev/zero | tail -c 50000000 >/dev/null");
  await joined(child);
  await child.status;
  assert.ok((cgroups.oomKills(outer.path) ?? 0) > 0);
});

Deno.test("the root, parents and odd paths are refused", async () => {
  for (const path of ["", "/", "a", "/a/../b", "/a//b", "/..", "/a/.", "/a\0b", "/a/"]) {
    assert.throws(() => cgroups.create(path), InvalidArgumentError, path);
    await assert.rejects(cgroups.destroy(path, HANG_MS), InvalidArgumentError);
  }
});
