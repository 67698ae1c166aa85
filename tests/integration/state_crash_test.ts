/** The record under kill -9: a real process, killed at each gate and in the middle of its writes. */
import assert from "node:assert/strict";
import { PodState } from "../../src/state/mod.ts";

const CHILD = new URL("./testdata/state_child.ts", import.meta.url).pathname;

interface Told {
  readonly owners: readonly string[];
  readonly sandboxes: readonly string[];
}

function command(...args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", CHILD, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs the child to its end; undefined if SIGKILL ended it. */
async function child(...args: string[]): Promise<Told | undefined> {
  const { signal, code, stdout, stderr } = await command(...args).output();
  if (signal === "SIGKILL") return undefined;
  assert.equal(code, 0, `${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function inDirectory(test: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

function things(root: string): string[] {
  try {
    return [...Deno.readDirSync(`${root}/things`)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function gatesOf(root: string, operation: string): Promise<string[]> {
  await child(root, operation, `trace:${root}/gates`);
  return [...new Set((await Deno.readTextFile(`${root}/gates`)).trim().split("\n"))];
}

const NOTHING = { owners: [], sandboxes: [] };
const ALL = ["container", "namespace", "network", "rootfs"];

Deno.test("killed at each gate of making, the next start undoes or keeps all, and making works", async (t) => {
  let gates: string[] = [];
  await inDirectory(async (root) => void (gates = await gatesOf(root, "make")));
  assert.equal(gates.length, 4 * 4 + 2, gates.join(" "));
  for (const gate of gates) {
    await t.step(gate, () =>
      inDirectory(async (root) => {
        assert.equal(await child(root, "make", `kill:${gate}`), undefined, "it was not killed");
        const recovered = await child(root, "recover");
        if (gate === "make-pod.record.done") {
          assert.deepEqual(recovered?.sandboxes, ["pod-1"]);
          assert.deepEqual(things(root), ALL, "what was committed is untouched");
        } else {
          assert.deepEqual(recovered, NOTHING);
          assert.deepEqual(things(root), []);
          await child(root, "make");
        }
        assert.deepEqual(things(root), ALL);
        assert.deepEqual(await child(root, "remove"), NOTHING);
        assert.deepEqual(things(root), []);
      }));
  }
});

Deno.test("killed at each gate of removing, removing again ends it", async (t) => {
  let gates: string[] = [];
  await inDirectory(async (root) => {
    await child(root, "make");
    gates = await gatesOf(root, "remove");
  });
  assert.equal(gates.length, 4 * 3 + 2, gates.join(" "));
  for (const gate of gates) {
    await t.step(gate, () =>
      inDirectory(async (root) => {
        await child(root, "make");
        assert.equal(await child(root, "remove", `kill:${gate}`), undefined);
        await child(root, "recover");
        assert.deepEqual(await child(root, "remove"), NOTHING);
        assert.deepEqual(things(root), []);
      }));
  }
});

Deno.test("killed while a failed run is being undone, the next start ends the undoing", async (t) => {
  for (const phase of ["before", "acted", "forgotten"]) {
    for (const kind of ["namespace", "network"]) {
      const gate = `make-pod.undo-${kind}.${phase}`;
      await t.step(gate, () =>
        inDirectory(async (root) => {
          assert.equal(await child(root, "make-failing", `kill:${gate}`), undefined);
          assert.deepEqual(await child(root, "recover"), NOTHING);
          assert.deepEqual(things(root), []);
        }));
    }
  }
});

Deno.test("killed during recovery, the next recovery ends it", () =>
  inDirectory(async (root) => {
    await child(root, "make", "kill:make-pod.record.before");
    for (const kind of ["container", "rootfs", "network", "namespace"]) {
      assert.equal(await child(root, "recover", `kill:recover.undo-${kind}.acted`), undefined);
    }
    assert.deepEqual(await child(root, "recover"), NOTHING);
    assert.deepEqual(things(root), []);
  }));

Deno.test("kill -9 in a loop of writes loses nothing that was acknowledged", () =>
  inDirectory(async (root) => {
    for (let round = 0; round < 5; round++) {
      const path = `${root}/${round}`;
      await Deno.mkdir(path);
      const process = command(path, "write-loop").spawn();
      const acknowledged = lastAcknowledged(process, 300 + round * 150);
      const last = await acknowledged;
      await process.status;
      await using state = PodState.open({ path: `${path}/pods.db`, bootId: "boot-1" });
      assert.equal(state.origin.kind, "existing");
      const ids = new Set(state.sandboxes.all().map(({ id }) => id));
      for (let n = 0; n <= last; n++) assert.ok(ids.has(`s${n}`), `s${n} of ${last} is gone`);
      assert.ok(ids.size <= last + 2, "at most one commit was not told");
      assert.equal(state.containers.all().length, ids.size, "records of one transaction, together");
      assert.equal((await state.journal.owners()).length, ids.size);
    }
  }));

/** Kills the child when it has acknowledged that many, and returns the last acknowledged number. */
async function lastAcknowledged(process: Deno.ChildProcess, killAfter: number): Promise<number> {
  const decoder = new TextDecoder();
  let text = "";
  let killed = false;
  await Promise.all([
    (async () => {
      for await (const chunk of process.stdout) {
        text += decoder.decode(chunk, { stream: true });
        if (!killed && text.split("\n").length > killAfter) {
          killed = true;
          process.kill("SIGKILL");
        }
      }
    })(),
    process.stderr.cancel(),
  ]);
  const lines = text.slice(0, text.lastIndexOf("\n")).split("\n");
  assert.ok(lines.length >= killAfter, "the child ended by itself");
  return Number(lines.at(-1));
}
