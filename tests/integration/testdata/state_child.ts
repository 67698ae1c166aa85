/**
 * A small program over the record, for `state_crash_test.ts` to kill.
 *
 * Usage: `state_child.ts ROOT write-loop` or `state_child.ts ROOT make|remove|recover [FAULT-SPEC]`
 *
 * `make` runs an operation whose resources are directories below ROOT/things.
 */
import type { JsonObject } from "../../../src/model/mod.ts";
import {
  ActiveFaultGates,
  JournalStepRunner,
  NO_FAULT_GATES,
  parseFaultSpec,
  PodState,
  recover,
  ResourceTypes,
  type Step,
  Undoer,
} from "../../../src/state/mod.ts";

const [root = "", command = "", spec] = Deno.args;
const OWNER = "pod-1";
const things = `${root}/things`;

const state = PodState.open({ path: `${root}/pods.db`, bootId: "boot-1" });
const gates = spec === undefined ? NO_FAULT_GATES : new ActiveFaultGates(parseFaultSpec(spec));
const { journal } = state;
const directoryType = (kind: string) => ({
  kind,
  parse: (payload: JsonObject) => String(payload.path),
  undo: (path: string) =>
    Deno.remove(path, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }),
});
const types = new ResourceTypes();
for (const kind of ["namespace", "network", "rootfs", "container"]) {
  types.register(directoryType(kind));
}
const undoer = new Undoer({ journal, types, bootId: "boot-1", gates });
const runner = new JournalStepRunner({ journal, undoer, gates });

function step(kind: string): Step<null> {
  const path = `${things}/${kind}`;
  return {
    name: `make-${kind}`,
    deadlineMs: 30_000,
    intent: () => ({ kind, payload: { path } }),
    act: async () => {
      // Fails if an earlier run left it.
      await Deno.mkdir(path);
      await Deno.writeTextFile(`${path}/content`, kind);
    },
  };
}

async function writeLoop(): Promise<never> {
  const encoder = new TextEncoder();
  for (let n = 0;; n++) {
    state.transaction((inside) => {
      inside.sandboxes.put(`s${n}`, { n, text: "x".repeat(1500) });
      inside.containers.put(`c${n}`, { n });
      inside.journal.intend(`s${n}`, "namespace", { n });
    });
    Deno.stdout.writeSync(encoder.encode(`${n}\n`));
    if (n % 50 === 0) await Promise.resolve();
  }
}

switch (command) {
  case "write-loop":
    await writeLoop();
    break;
  case "make":
    await Deno.mkdir(things, { recursive: true });
    await runner.run("make-pod", OWNER, [
      step("namespace"),
      { parallel: [[step("network")], [step("rootfs")]] },
      step("container"),
    ], null);
    await runner.commit("make-pod", "record", () => state.sandboxes.put(OWNER, { ready: true }));
    break;
  case "make-failing":
    await Deno.mkdir(things, { recursive: true });
    await runner.run("make-pod", OWNER, [
      step("namespace"),
      { parallel: [[step("network")], [step("rootfs")]] },
      { name: "refuse", deadlineMs: 1000, act: () => Promise.reject(new Error("refused")) },
    ], null).catch(() => {});
    break;
  case "remove":
    await runner.undo("remove-pod", OWNER, ["container"]);
    await runner.undo("remove-pod", OWNER);
    await runner.commit("remove-pod", "record", () => state.sandboxes.delete(OWNER));
    break;
  case "recover":
    await recover({
      journal,
      undoer,
      isCommitted: (owner) => state.sandboxes.get(owner) !== undefined,
    });
    break;
  default:
    throw new Error(`Unknown command ${command}`);
}
console.log(JSON.stringify({
  owners: await journal.owners(),
  sandboxes: state.sandboxes.all().map(({ id }) => id),
}));
await state[Symbol.asyncDispose]();
