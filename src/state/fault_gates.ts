/**
 * Fault gates: named points between the steps of operations where tests kill, fail or hang the
 * process, and deadlines of steps that they shorten. Off unless the start flag `--fault-gates SPEC`
 * sets them; product code holds no others.
 *
 * Names: `<operation>.<step>.<phase>` with the phases `before`, `intended` (the intent is committed),
 * `acted` (made, not yet recorded as done) and `done`; a step without an intent has `before` and
 * `done`. For undoing `<operation>.undo-<kind>.` with `before`, `acted` and `forgotten`. For a change of
 * the record alone `<operation>.<name>.` with `before` and `done`.
 *
 * @module
 */
import { InternalError, InvalidArgumentError, shown } from "../errors/mod.ts";

export type FaultAction = "kill" | "fail" | "hang";

export interface FaultRule {
  readonly action: FaultAction;
  readonly gate: string;
  /** Acts at the n-th pass only, from 1. */
  readonly pass: number;
}

export interface FaultSpec {
  readonly rules: readonly FaultRule[];
  /** Milliseconds by `<operation>.<step>`, instead of the step's own. */
  readonly deadlines: ReadonlyMap<string, number>;
  /** File to which the name of every gate passed is appended. */
  readonly trace: string | undefined;
  /** As long as this file is not there no rule acts and no pass is counted. */
  readonly armed: string | undefined;
}

const GATE = /^[a-z0-9-]+\.[A-Za-z0-9_-]+\.(?:before|intended|acted|done|forgotten)$/;
const DEADLINE = /^deadline:([a-z0-9-]+\.[A-Za-z0-9_-]+)=([1-9][0-9]{0,8})$/;
const RULE = /^(kill|fail|hang):([^#]+?)(?:#([1-9][0-9]{0,5}))?$/;

/**
 * Reads `kill:run-pod-sandbox.network-attach.acted#2,armed:/tmp/now,trace:/tmp/gates`: several parts
 * separated by commas. `deadline:run-pod-sandbox.network-attach=500` gives a step half a second.
 *
 * @throws {InvalidArgumentError} names the part that is wrong
 */
export function parseFaultSpec(text: string): FaultSpec {
  const rules: FaultRule[] = [];
  const deadlines = new Map<string, number>();
  let trace: string | undefined;
  let armed: string | undefined;
  for (const part of text.split(",")) {
    if (part.startsWith("trace:/")) {
      trace = part.slice("trace:".length);
      continue;
    }
    if (part.startsWith("armed:/")) {
      armed = part.slice("armed:".length);
      continue;
    }
    const [, step, deadlineMs] = DEADLINE.exec(part) ?? [];
    if (step !== undefined) {
      deadlines.set(step, Number(deadlineMs));
      continue;
    }
    const [, action, gate = "", pass = "1"] = RULE.exec(part) ?? [];
    if (!isAction(action) || !GATE.test(gate)) {
      throw new InvalidArgumentError(`${shown(part)} is not a fault gate`, {
        field: "fault-gates",
        value: part,
        remedy:
          "write kill:, fail: or hang: and operation.step.phase, with #n for the n-th pass, " +
          "deadline:operation.step=milliseconds, armed:/file, or trace:/file",
      });
    }
    rules.push({ action, gate, pass: Number(pass) });
  }
  return { rules, deadlines, trace, armed };
}

function isAction(text: string | undefined): text is FaultAction {
  return text === "kill" || text === "fail" || text === "hang";
}

/** What the runner holds: one property to read while nothing is set. */
export interface FaultGates {
  readonly active: boolean;
  /** Resolves at once, rejects, never settles, or does not return. */
  pass(gate: string): Promise<void>;
  /** Of a step in milliseconds, undefined for its own. */
  deadlineMs(step: string): number | undefined;
}

export const NO_FAULT_GATES: FaultGates = {
  active: false,
  pass: () => Promise.resolve(),
  deadlineMs: () => undefined,
};

/** Gates as a specification sets them. */
export class ActiveFaultGates implements FaultGates, Disposable {
  readonly active = true;
  readonly #rules: readonly FaultRule[];
  readonly #armed: string | undefined;
  readonly #deadlines: FaultSpec["deadlines"];
  readonly #trace: Deno.FsFile | undefined;
  readonly #passes = new Map<string, number>();

  constructor(spec: FaultSpec) {
    this.#rules = spec.rules;
    this.#armed = spec.armed;
    this.#deadlines = spec.deadlines;
    this.#trace = spec.trace === undefined
      ? undefined
      : Deno.openSync(spec.trace, { append: true, create: true, mode: 0o600 });
  }

  async pass(gate: string): Promise<void> {
    this.#trace?.writeSync(new TextEncoder().encode(`${gate}\n`));
    if (this.#armed !== undefined && !exists(this.#armed)) return;
    const pass = (this.#passes.get(gate) ?? 0) + 1;
    this.#passes.set(gate, pass);
    for (const rule of this.#rules) {
      if (rule.gate === gate && rule.pass === pass) await act(rule);
    }
  }

  deadlineMs(step: string): number | undefined {
    return this.#deadlines.get(step);
  }

  [Symbol.dispose](): void {
    this.#trace?.close();
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function act(rule: FaultRule): Promise<void> {
  switch (rule.action) {
    case "kill":
      // Nothing after this line runs: the kernel takes the process before kill(2) returns.
      Deno.kill(Deno.pid, "SIGKILL");
      return new Promise(() => {});
    case "fail":
      return Promise.reject(new InternalError(`Fault gate ${rule.gate} failed as told`));
    case "hang":
      return new Promise(() => {});
  }
}
