import assert from "node:assert/strict";
import {
  CancelledError,
  DeadlineExceededError,
  InternalError,
  UnavailableError,
} from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import {
  ActiveFaultGates,
  type FaultGates,
  NO_FAULT_GATES,
  parseFaultSpec,
} from "./fault_gates.ts";
import type { Resource } from "./journal.ts";
import { PodState } from "./pod_records.ts";
import { ResourceTypes } from "./resource_types.ts";
import { JournalStepRunner } from "./step_runner.ts";
import type { Plan, Step } from "./steps.ts";
import { Undoer } from "./undoing.ts";

/** A runner over a real database, and the things it made. */
class Bench implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync();
  readonly state = PodState.open({ path: `${this.directory}/pods.db`, bootId: "boot-1" });
  readonly made = new Set<string>();
  readonly undone: string[] = [];
  readonly left: Resource[] = [];
  readonly broken = new Set<string>();
  readonly runner: JournalStepRunner;

  constructor(gates: FaultGates = NO_FAULT_GATES) {
    const types = new ResourceTypes().register<{ name: string }>({
      kind: "thing",
      undoDeadlineMs: 200,
      parse: (payload) => ({ name: String(payload.name) }),
      undo: (payload) => {
        if (this.broken.has(payload.name)) {
          return Promise.reject(new UnavailableError(`Cannot undo ${payload.name}`));
        }
        if (payload.name === "stuck") return new Promise(() => {});
        this.made.delete(payload.name);
        this.undone.push(payload.name);
        return Promise.resolve();
      },
    });
    const { journal } = this.state;
    const undoer = new Undoer({
      journal,
      types,
      bootId: "boot-1",
      gates,
      graceMs: 50,
      onLeft: (resource) => void this.left.push(resource),
    });
    this.runner = new JournalStepRunner({ journal, undoer, gates, graceMs: 50 });
  }

  step(name: string, act?: Step<null>["act"], deadlineMs = 5000): Step<null> {
    return {
      name,
      deadlineMs,
      intent: () => ({ kind: "thing", payload: { name } }),
      act: async (context, signal): Promise<JsonObject | void> => {
        const told = await act?.(context, signal);
        this.made.add(name);
        return told;
      },
    };
  }

  run(plan: Plan<null>) {
    return this.runner.run("make", "owner", plan, null);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.state[Symbol.asyncDispose]();
    await Deno.remove(this.directory, { recursive: true });
  }
}

function gatesOf(spec: string): ActiveFaultGates {
  return new ActiveFaultGates(parseFaultSpec(spec));
}

function fails(message = "no"): Step<null>["act"] {
  return () => Promise.reject(new UnavailableError(message));
}

/** Ends only when told to. */
const untilTold: Step<null>["act"] = (_, signal) =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

Deno.test("a run records each step as done, with what its act told, and times it", async () => {
  await using bench = new Bench();
  const timings = await bench.run([
    bench.step("one", () => Promise.resolve({ address: "10.0.0.1" })),
    { name: "plain", deadlineMs: 1000, act: () => Promise.resolve() },
    bench.step("two"),
  ]);
  const rows = await bench.state.journal.ofOwner("owner");
  assert.deepEqual(rows.map(({ payload, state }) => ({ payload, state })), [
    { payload: { name: "one", address: "10.0.0.1" }, state: "done" },
    { payload: { name: "two" }, state: "done" },
  ]);
  assert.deepEqual(timings.map(({ step }) => step), ["one", "plain", "two"]);
});

Deno.test("the intent is in the record before the act begins", async () => {
  await using bench = new Bench();
  let seen: Resource[] = [];
  await bench.run([bench.step("one", async () => {
    seen = await bench.state.journal.ofOwner("owner");
  })]);
  assert.deepEqual(seen.map(({ state }) => state), ["intended"]);
});

Deno.test("a failing step undoes what the run made, newest first, and tells its stage", async () => {
  await using bench = new Bench();
  await bench.run([bench.step("before")]);
  await assert.rejects(
    bench.run([bench.step("one"), bench.step("two"), bench.step("three", fails())]),
    (error: UnavailableError) =>
      error instanceof UnavailableError && error.details.stage === "three",
  );
  assert.deepEqual(bench.undone, ["three", "two", "one"]);
  const rows = await bench.state.journal.ofOwner("owner");
  assert.deepEqual(rows.map(({ payload }) => payload.name), ["before"], "an earlier run's stay");
});

Deno.test("an error that is not of the domain becomes internal and keeps its cause", async () => {
  await using bench = new Bench();
  const cause = new TypeError("odd");
  await assert.rejects(
    bench.run([bench.step("one", () => Promise.reject(cause))]),
    (error: InternalError) => error.cause === cause && error.details.stage === "one",
  );
});

Deno.test("a failing undo stops no other; its error is a cause, its row and the notice stay", async () => {
  await using bench = new Bench();
  bench.broken.add("two");
  await assert.rejects(
    bench.run([bench.step("one"), bench.step("two"), bench.step("three", fails())]),
    (error: UnavailableError) => {
      assert.equal(error.message, "no");
      assert.match((error.cause as AggregateError).errors[0].message, /Cannot undo two/);
      return true;
    },
  );
  assert.deepEqual(bench.undone, ["three", "one"]);
  assert.deepEqual(bench.left.map(({ payload }) => payload.name), ["two"]);
  assert.equal((await bench.state.journal.ofOwner("owner")).length, 1);
  await assert.rejects(bench.runner.undo("remove", "owner"), AggregateError);
  bench.broken.clear();
  await bench.runner.undo("remove", "owner");
  assert.deepEqual(await bench.state.journal.owners(), []);
});

Deno.test("an undo that ignores its signal is given up, and the others go on", async () => {
  await using bench = new Bench();
  await assert.rejects(
    bench.run([bench.step("one"), bench.step("stuck"), bench.step("three", fails())]),
    UnavailableError,
  );
  assert.deepEqual(bench.undone, ["three", "one"]);
  assert.deepEqual(bench.left.map(({ payload }) => payload.name), ["stuck"]);
});

Deno.test("undo() of some kinds leaves the others", async () => {
  await using bench = new Bench();
  await bench.run([bench.step("one")]);
  await bench.runner.undo("stop", "owner", ["other"]);
  assert.deepEqual(bench.undone, []);
  await bench.runner.undo("stop", "owner", ["thing"]);
  assert.deepEqual(bench.undone, ["one"]);
});

Deno.test("parallel branches run at the same time; a failing one stops its siblings", async () => {
  await using bench = new Bench();
  const begun: string[] = [];
  const both = Promise.withResolvers<void>();
  const meet: (name: string) => Step<null>["act"] = (name) => async (context, signal) => {
    begun.push(name);
    if (begun.length === 2) both.resolve();
    await both.promise;
    if (name === "b") throw new UnavailableError("b broke");
    await untilTold(context, signal);
  };
  await assert.rejects(
    bench.run([
      bench.step("first"),
      {
        parallel: [
          [bench.step("a", meet("a")), bench.step("a2")],
          [bench.step("b", meet("b")), bench.step("b2")],
        ],
      },
      bench.step("last"),
    ]),
    (error: UnavailableError) => error.message === "b broke" && error.details.stage === "b",
  );
  assert.deepEqual(bench.undone.toSorted(), ["a", "b", "first"]);
  assert.equal(bench.undone.at(-1), "first");
  assert.deepEqual(await bench.state.journal.owners(), []);
});

Deno.test("a step over its deadline is told, and the run is undone with its stage", async () => {
  await using bench = new Bench();
  await assert.rejects(
    bench.run([bench.step("one"), bench.step("slow", untilTold, 50)]),
    (error: DeadlineExceededError) =>
      error instanceof DeadlineExceededError && error.details.stage === "slow",
  );
  assert.deepEqual(bench.undone, ["slow", "one"]);
});

Deno.test("a step that ends well after its deadline is undone all the same", async () => {
  await using bench = new Bench();
  const late: Step<null>["act"] = (_, signal) =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve({ late: true })));
  await assert.rejects(bench.run([bench.step("late", late, 50)]), DeadlineExceededError);
  assert.deepEqual(bench.undone, ["late"]);
  assert.equal(bench.made.size, 0);
});

Deno.test("a step that ignores its signal is given up: undone at once, and again when it has settled", async () => {
  await using bench = new Bench();
  const gate = Promise.withResolvers<void>();
  await assert.rejects(
    bench.run([bench.step("one"), bench.step("deaf", () => gate.promise, 50)]),
    /did not stop/,
  );
  assert.deepEqual(bench.undone, ["deaf", "one"]);
  assert.equal((await bench.state.journal.ofOwner("owner")).length, 1, "the row is kept");
  gate.resolve();
  while ((await bench.state.journal.owners()).length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual(bench.undone, ["deaf", "one", "deaf"]);
  assert.equal(bench.made.size, 0, "what the late act made is gone");
});

for (const phase of ["before", "intended", "acted", "done"]) {
  Deno.test(`a gate that fails at ${phase} undoes the run`, async () => {
    using gates = gatesOf(`fail:make.two.${phase}`);
    await using bench = new Bench(gates);
    await assert.rejects(
      bench.run([bench.step("one"), bench.step("two")]),
      (error: InternalError) => error.details.stage === "two",
    );
    assert.equal(bench.made.size, 0);
    assert.deepEqual(await bench.state.journal.owners(), []);
  });

  Deno.test(`a gate that hangs at ${phase} is caught by the step's deadline`, async () => {
    using gates = gatesOf(`hang:make.two.${phase}`);
    await using bench = new Bench(gates);
    await assert.rejects(
      bench.run([bench.step("one"), bench.step("two", undefined, 50)]),
      DeadlineExceededError,
    );
    assert.equal(bench.made.size, 0);
  });
}

Deno.test("the trace lists every gate in order, those of undoing and of commits, too", async () => {
  const directory = await Deno.makeTempDir();
  const trace = `${directory}/gates`;
  using gates = gatesOf(`trace:${trace},fail:make.two.acted`);
  await using bench = new Bench(gates);
  await assert.rejects(bench.run([
    { name: "plain", deadlineMs: 1000, act: () => Promise.resolve() },
    bench.step("one"),
    bench.step("two"),
  ]));
  assert.equal(await bench.runner.commit("make", "record", () => 7), 7);
  assert.deepEqual((await Deno.readTextFile(trace)).trim().split("\n"), [
    "make.plain.before",
    "make.plain.done",
    "make.one.before",
    "make.one.intended",
    "make.one.acted",
    "make.one.done",
    "make.two.before",
    "make.two.intended",
    "make.two.acted",
    "make.undo-thing.before",
    "make.undo-thing.acted",
    "make.undo-thing.forgotten",
    "make.undo-thing.before",
    "make.undo-thing.acted",
    "make.undo-thing.forgotten",
    "make.record.before",
    "make.record.done",
  ]);
  await Deno.remove(directory, { recursive: true });
});

Deno.test("a gate acts at the pass that its number names", async () => {
  using gates = gatesOf("fail:make.record.before#2");
  await using bench = new Bench(gates);
  await bench.runner.commit("make", "record", () => {});
  await assert.rejects(bench.runner.commit("make", "record", () => {}), InternalError);
  await bench.runner.commit("make", "record", () => {});
});

Deno.test("gates that are armed by a file neither act nor count before it is there", async () => {
  const directory = await Deno.makeTempDir();
  const file = `${directory}/now`;
  using gates = gatesOf(`fail:make.record.before,armed:${file}`);
  await using bench = new Bench(gates);
  await bench.runner.commit("make", "record", () => {});
  await Deno.writeTextFile(file, "");
  await assert.rejects(bench.runner.commit("make", "record", () => {}), InternalError);
  await Deno.remove(directory, { recursive: true });
});

Deno.test("a fault gate specification that is wrong is refused", () => {
  for (
    const bad of [
      "",
      "kill",
      "kill:x",
      "kill:a.b.c",
      "burn:a.b.done",
      "fail:a.b.done#0",
      "trace:rel",
      "armed:rel",
    ]
  ) {
    assert.throws(() => parseFaultSpec(bad), /is not a fault gate/, bad);
  }
  assert.deepEqual([...parseFaultSpec("deadline:run-pod-sandbox.shm=500").deadlines], [
    ["run-pod-sandbox.shm", 500],
  ]);
  assert.deepEqual(parseFaultSpec("kill:run-pod-sandbox.undo-cni.forgotten#3,trace:/t").rules, [
    { action: "kill", gate: "run-pod-sandbox.undo-cni.forgotten", pass: 3 },
  ]);
});

Deno.test("a sibling that was told to stop is not the error that is thrown", async () => {
  await using bench = new Bench();
  await assert.rejects(
    bench.run([{ parallel: [[bench.step("a", untilTold)], [bench.step("b", fails("b broke"))]] }]),
    (error: Error) => !(error instanceof CancelledError) && error.message === "b broke",
  );
});
