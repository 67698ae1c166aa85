/**
 * Runs operations given as plans: intent, act, done for each step, undo from the record when one fails.
 *
 * @module
 */
import { CancelledError, type SauropodError } from "../errors/mod.ts";
import { type Logger, silentLogger } from "../telemetry/mod.ts";
import { type DeadlineResult, withDeadline } from "./_deadline.ts";
import { atStage, withUndoErrors } from "./_stage.ts";
import { type FaultGates, NO_FAULT_GATES } from "./fault_gates.ts";
import type { Journal, ResourceRow } from "./journal.ts";
import type { Intent, Plan, Step, StepRunner, StepTiming } from "./steps.ts";
import type { Making, Undoer } from "./undoing.ts";

export interface StepRunnerOptions {
  readonly journal: Journal;
  readonly undoer: Undoer;
  readonly gates?: FaultGates;
  readonly log?: Logger;
  /** How long a step that ignores its signal is waited for; 5 s by default. */
  readonly graceMs?: number;
}

/** What one run has made and measured so far. */
interface Run {
  readonly operation: string;
  readonly owner: string;
  readonly beganMs: number;
  readonly rows: Set<ResourceRow>;
  readonly timings: StepTiming[];
  /** The first failure, and what tells the other branches of it. */
  failure: SauropodError | undefined;
  readonly cancel: AbortController;
}

/**
 * The runner over a journal.
 *
 * When a branch of a `parallel` fails, the signals of its siblings fire and they begin no further step;
 * they are waited for before anything is undone. A step that ignores its signal until its deadline
 * and the grace period are over is given up: its resource is undone with the others, but the row stays
 * in the journal until the act has settled and the undo was repeated, because an act that still
 * runs may make the thing after it was undone. If it never settles, the next start undoes it.
 */
export class JournalStepRunner implements StepRunner {
  readonly #options: StepRunnerOptions;
  readonly #journal: Journal;
  readonly #gates: FaultGates;
  readonly #log: Logger;

  constructor(options: StepRunnerOptions) {
    this.#options = options;
    this.#journal = options.journal;
    this.#gates = options.gates ?? NO_FAULT_GATES;
    this.#log = options.log ?? silentLogger;
  }

  async run<C>(
    operation: string,
    owner: string,
    plan: Plan<C>,
    context: C,
  ): Promise<StepTiming[]> {
    const run: Run = {
      operation,
      owner,
      beganMs: performance.now(),
      rows: new Set(),
      timings: [],
      failure: undefined,
      cancel: new AbortController(),
    };
    await this.#runPlan(run, plan, context);
    if (run.failure === undefined) return run.timings;
    throw withUndoErrors(run.failure, await this.#undoRun(run));
  }

  async undo(operation: string, owner: string, kinds?: readonly string[]): Promise<void> {
    const resources = await this.#journal.ofOwner(owner);
    const wanted = resources.filter(({ kind }) => kinds === undefined || kinds.includes(kind));
    const left = await this.#options.undoer.undoAll(operation, wanted);
    if (left.length > 0) {
      const kinds = left.map(({ resource }) => resource.kind).join(", ");
      throw new AggregateError(
        left.map(({ resource, error }) => atStage(error, `undo-${resource.kind}`)),
        `Could not undo ${kinds} of ${owner}`,
      );
    }
  }

  async commit<T>(operation: string, name: string, act: () => T | Promise<T>): Promise<T> {
    if (this.#gates.active) await this.#gates.pass(`${operation}.${name}.before`);
    const result = await act();
    if (this.#gates.active) await this.#gates.pass(`${operation}.${name}.done`);
    return result;
  }

  /** Never rejects: the first failure is kept in `run`. */
  async #runPlan<C>(run: Run, plan: Plan<C>, context: C): Promise<void> {
    for (const part of plan) {
      if (run.failure !== undefined) return;
      if ("parallel" in part) {
        await Promise.all(part.parallel.map((branch) => this.#runPlan(run, branch, context)));
      } else {
        await this.#runStep(run, part, context);
      }
    }
  }

  async #runStep<C>(run: Run, step: Step<C>, context: C): Promise<void> {
    const startedMs = performance.now();
    const making: Making = { row: undefined };
    const result = await withDeadline(
      {
        deadlineMs: this.#gates.deadlineMs(`${run.operation}.${step.name}`) ?? step.deadlineMs,
        graceMs: this.#options.graceMs ?? 5000,
        what: `Step ${step.name} of ${run.operation} for ${run.owner}`,
        stage: step.name,
        cancel: run.cancel.signal,
      },
      (signal) => this.#intendActDone({ run, step, context, signal, making }),
    );
    run.timings.push({
      step: step.name,
      startedMs: startedMs - run.beganMs,
      durationMs: performance.now() - startedMs,
    });
    if (result.kind !== "ended") this.#failed(run, step.name, result, making);
  }

  async #intendActDone<C>(acting: Acting<C>): Promise<void> {
    const { run, step, context, signal, making } = acting;
    const gate = `${run.operation}.${step.name}`;
    if (this.#gates.active) await this.#gates.pass(`${gate}.before`);
    const intent = step.intent?.(context);
    if (intent === undefined) {
      signal.throwIfAborted();
      await step.act(context, signal);
    } else {
      const row = await this.#intend(run, intent, making);
      if (this.#gates.active) await this.#gates.pass(`${gate}.intended`);
      signal.throwIfAborted();
      const told = await step.act(context, signal);
      if (this.#gates.active) await this.#gates.pass(`${gate}.acted`);
      await this.#journal.done(row, { ...intent.payload, ...told });
    }
    if (this.#gates.active) await this.#gates.pass(`${gate}.done`);
  }

  async #intend(run: Run, intent: Intent, making: Making): Promise<ResourceRow> {
    const row = await this.#journal.intend(run.owner, intent.kind, intent.payload);
    run.rows.add(row);
    making.row = row;
    return row;
  }

  #failed(run: Run, stage: string, result: StepFailure, making: Making): void {
    const { operation, owner } = run;
    if (result.kind === "abandoned") {
      this.#log.error("A step ignored its deadline and was given up", { operation, owner, stage });
      this.#options.undoer.stillMaking({ operation, owner, making, settled: result.settled });
    }
    if (run.failure === undefined) {
      run.failure = atStage(result.error, stage);
      run.cancel.abort(new CancelledError(`Another step of ${operation} failed: ${stage}`));
    } else if (!(result.error instanceof CancelledError)) {
      const { error } = result;
      this.#log.warn("A second step failed beside the first", { operation, owner, stage, error });
    }
  }

  async #undoRun(run: Run): Promise<unknown[]> {
    try {
      const resources = await this.#journal.ofOwner(run.owner);
      const made = resources.filter(({ row }) => run.rows.has(row));
      const left = await this.#options.undoer.undoAll(run.operation, made);
      return left.map(({ error }) => error);
    } catch (error) {
      // The journal could not be read; the rows are found at the next start.
      this.#log.error("A failed operation could not be undone", { owner: run.owner, error });
      return [error];
    }
  }
}

interface Acting<C> {
  readonly run: Run;
  readonly step: Step<C>;
  readonly context: C;
  readonly signal: AbortSignal;
  readonly making: Making;
}

type StepFailure = Exclude<DeadlineResult<void>, { readonly kind: "ended" }>;
