/**
 * Operations as data: named steps run by one runner, which alone holds the fault gates.
 *
 * @module
 */
import type { JsonObject } from "../model/mod.ts";

/** What a step will make, committed before it acts. */
export interface Intent {
  readonly kind: string;
  readonly payload: JsonObject;
}

/** One step of an operation over a context `C` that the steps share. */
export interface Step<C> {
  /** Named in errors, logs, timelines and fault gates; kebab case: `network-attach`. */
  readonly name: string;
  /** After this long the step's signal fires and the operation is undone. */
  readonly deadlineMs: number;
  /** Undefined, or returning undefined, for a step that makes nothing outside the record. */
  readonly intent?: (context: C) => Intent | undefined;
  /** Acts. What it returns completes the intent's payload in the record. */
  readonly act: (context: C, signal: AbortSignal) => Promise<JsonObject | void>;
}

/** Steps in order; a nested `parallel` runs its branches at the same time and waits for all. */
export type Plan<C> = readonly (Step<C> | { readonly parallel: readonly Plan<C>[] })[];

/** Where time went: one entry a step, for `info`, logs and traces. */
export interface StepTiming {
  readonly step: string;
  readonly startedMs: number;
  readonly durationMs: number;
}

export interface StepRunner {
  /**
   * Runs a plan for an owner. If a step fails, everything that this run intended is undone from
   * the record in reverse order, and the first error is thrown with its `stage` set (errors of the
   * undoing are kept as an `AggregateError` cause and logged; their rows stay for a retry).
   *
   * @param operation kebab case, prefix of the gate names: `run-pod-sandbox`
   */
  run<C>(operation: string, owner: string, plan: Plan<C>, context: C): Promise<StepTiming[]>;

  /**
   * Undoes resources of an owner, newest first: all, or those of the given kinds. A failing undo does
   * not stop the others; an `AggregateError` tells at the end and the failed rows stay. Gates are
   * passed around each undo as `<operation>.undo-<kind>`.
   */
  undo(operation: string, owner: string, kinds?: readonly string[]): Promise<void>;

  /** A step without a resource, so that record changes have gates, too: `<operation>.<name>`. */
  commit<T>(operation: string, name: string, act: () => T | Promise<T>): Promise<T>;
}
