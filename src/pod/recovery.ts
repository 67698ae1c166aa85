/**
 * What happens at every start: the record is compared with the kernel, and what was half done is
 * finished or undone. A start after a crash is no special case.
 *
 * @module
 */
import type { JsonObject } from "../model/mod.ts";
import type { ContainerRuntime, CreatedContainer } from "../runtime/containers_runtime.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { Clock } from "../model/mod.ts";
import {
  containerFromJson,
  containerIn,
  type ContainerRecord,
  isLive,
  type LiveContainer,
} from "./container.ts";
import type { Containers } from "./containers.ts";
import type { ContainerUpdater } from "./container_update.ts";
import type { ExitTracker } from "./exits.ts";
import { failed, type PidHolders } from "./pid_holders.ts";
import type { PodRegistry } from "./registry.ts";
import type { Sandboxes } from "./sandboxes.ts";
import { sandboxFromJson, type SandboxRecord, stopping } from "./sandbox.ts";
import type { StepRunner } from "../state/steps.ts";

/** Exit code of a container whose end nobody saw. */
const UNKNOWN_EXIT_CODE = 255;
const RECOVER = "recover";

export interface RecoveryOptions {
  readonly registry: PodRegistry;
  readonly runner: StepRunner;
  readonly sandboxes: Sandboxes;
  readonly containers: Containers;
  readonly updater: Pick<ContainerUpdater, "finish">;
  readonly exits: ExitTracker;
  readonly pidHolders: Pick<PidHolders, "isHeld" | "watch">;
  readonly runtime: Pick<ContainerRuntime, "inspect" | "sweepExecs">;
  readonly clock: Clock;
  readonly bootId: string;
  readonly log: Logger;
  /** The copies beside the bundles, for a row that cannot be read. */
  readonly copies: Readonly<Record<"sandbox" | "container", RecordCopy>>;
}

/** @returns undefined if there is no copy */
export interface RecordCopy {
  read(id: string): Promise<{ readonly value: JsonObject } | undefined>;
}

/** The rows of the database as they were found. */
export interface RecordedPods {
  readonly sandboxes: readonly { readonly id: string; readonly value: JsonObject }[];
  readonly containers: readonly { readonly id: string; readonly value: JsonObject }[];
}

export interface RecoveryReport {
  readonly sandboxes: number;
  readonly containers: number;
  /** Rows that could not be read; they are left alone and named. */
  readonly unreadable: readonly string[];
  /** Stops and removals that go on in the background; resolves when all have been tried. */
  readonly resumed: Promise<void>;
}

/**
 * Takes the records over. When it resolves, every call can be answered; interrupted stops and
 * removals go on behind it.
 */
export async function recoverPods(
  options: RecoveryOptions,
  recorded: RecordedPods,
): Promise<RecoveryReport> {
  const { registry, log } = options;
  const unreadable: string[] = [];
  const read = async <R>(
    kind: "sandbox" | "container",
    rows: RecordedPods["sandboxes"],
    parse: (json: JsonObject) => R,
  ): Promise<{ records: R[]; fromCopies: R[] }> => {
    const records: R[] = [];
    const fromCopies: R[] = [];
    for (const { id, value } of rows) {
      try {
        records.push(parse(value));
      } catch (error) {
        const copy = await options.copies[kind].read(id).then(
          (found) => found === undefined ? undefined : parse(found.value),
        ).catch(() => undefined);
        if (copy === undefined) unreadable.push(id);
        else fromCopies.push(copy);
        const outcome = copy === undefined ? "is left alone" : "is taken from its copy";
        log.error(`A record cannot be read and ${outcome}`, { kind, id, error });
      }
    }
    return { records: [...records, ...fromCopies], fromCopies };
  };
  const { records: sandboxes, fromCopies: sandboxCopies } = await read(
    "sandbox",
    recorded.sandboxes,
    sandboxFromJson,
  );
  const { records: containers, fromCopies: containerCopies } = await read(
    "container",
    recorded.containers,
    containerFromJson,
  );
  // Lists keep the order in which things were made, over restarts too.
  for (const record of sandboxes.toSorted(byAge)) registry.loadSandbox(record);
  for (const record of containers.toSorted(byAge)) registry.loadContainer(record);
  for (const ns of timesOf(sandboxes, containers)) options.clock.startAfter(ns);
  for (const record of sandboxCopies) registry.putSandbox(record);
  for (const record of containerCopies) registry.putContainer(record);

  await Promise.all(containers.map((record) => recoverContainer(options, record)));
  options.sandboxes.takeOverHostPorts();
  const unfinished = sandboxes.map((record) => recoverSandbox(options, record));
  const halfMade = sandboxes.filter(({ state }) => state.kind === "creating");
  await Promise.all(halfMade.map((record) => undoCreation(options, "sandbox", record.id)));
  return {
    sandboxes: sandboxes.length,
    containers: containers.length,
    unreadable,
    resumed: resume(options, unfinished.filter((work) => work !== undefined)),
  };
}

/** Times of an earlier process, which those of this one must come after although the clock was set. */
function timesOf(
  sandboxes: readonly SandboxRecord[],
  containers: readonly ContainerRecord[],
): bigint[] {
  return [
    ...[...sandboxes, ...containers].map(({ createdAtNs }) => createdAtNs),
    ...containers.map(({ state }) => "startedAtNs" in state ? state.startedAtNs : 0n),
  ];
}

function byAge(
  a: { readonly createdAtNs: bigint },
  b: { readonly createdAtNs: bigint },
): number {
  return a.createdAtNs < b.createdAtNs ? -1 : 1;
}

async function recoverContainer(options: RecoveryOptions, record: ContainerRecord): Promise<void> {
  const { registry, exits, clock, bootId, log } = options;
  if (record.state.kind === "creating") {
    await undoCreation(options, "container", record.id);
    return;
  }
  if (!isLive(record)) return;
  if (record.bootId !== bootId) {
    log.info("Container ended with the boot that it ran in", { id: record.id });
    const startedAtNs = record.state.kind === "running" ? record.state.startedAtNs : 0n;
    registry.putContainer(containerIn(record, {
      kind: "exited",
      startedAtNs,
      finishedAtNs: clock.nowNs(),
      exitCode: UNKNOWN_EXIT_CODE,
      reason: "NodeRestarted",
      message: "the node was restarted",
    }));
    return;
  }
  await options.runtime.sweepExecs(record.place).catch((error: unknown) => {
    log.warn("Commands left in a container could not be ended", { id: record.id, error });
  });
  exits.watch(record.state.kind === "created" ? await asFound(options, record) : record);
}

/** A start may have been cut off between the runtime's work and our commit. */
async function asFound(options: RecoveryOptions, record: LiveContainer): Promise<LiveContainer> {
  const { registry, runtime, clock, log } = options;
  const found = await runtime.inspect(record.place).catch((error: unknown) => {
    log.warn("The runtime could not tell about a container", { id: record.id, error });
    return undefined;
  });
  if (found?.status !== "running" && found?.status !== "paused") return record;
  const { init, monitor }: CreatedContainer = record.state;
  const running = containerIn(record, {
    kind: "running",
    init,
    monitor,
    startedAtNs: clock.nowNs(),
  });
  registry.putContainer(running);
  return running as LiveContainer;
}

/** Work that a sandbox still needs, or undefined. */
function recoverSandbox(
  options: RecoveryOptions,
  record: SandboxRecord,
): (() => Promise<void>) | undefined {
  const { registry, sandboxes, pidHolders, bootId, log } = options;
  switch (record.state.kind) {
    case "ready":
    case "failed":
      if (record.bootId === bootId) {
        if (pidHolders.isHeld(record)) {
          pidHolders.watch(record);
        } else {
          log.warn("A pod's PID namespace ended while nobody watched", { id: record.id });
          registry.putSandbox(failed(record));
        }
        return undefined;
      }
      registry.putSandbox(stopping(record));
      return () => sandboxes.resumeStop(record.id);
    case "stopping":
      return () => sandboxes.resumeStop(record.id);
    case "removing":
      return () => sandboxes.removeRecorded(record.id);
    case "creating":
    case "stopped":
      return undefined;
    default: {
      const never: never = record.state;
      return never;
    }
  }
}

async function undoCreation(
  options: RecoveryOptions,
  kind: "sandbox" | "container",
  id: string,
): Promise<void> {
  const { registry, runner, log } = options;
  log.info(`A half-made ${kind} is undone`, { id });
  await runner.undo(RECOVER, id).catch((error: unknown) => {
    log.error(`A half-made ${kind} left something behind; it will be tried again`, { id, error });
  });
  if (kind === "sandbox") registry.deleteSandbox(id as SandboxRecord["id"]);
  else registry.deleteContainer(id as ContainerRecord["id"]);
}

/** How much that was interrupted goes on at the same time: a stop that hangs must not hold up the rest. */
const RESUMED_TOGETHER = 8;

async function resume(
  options: RecoveryOptions,
  sandboxWork: readonly (() => Promise<void>)[],
): Promise<void> {
  const { registry, containers, log } = options;
  const removals = [...registry.containers()]
    .filter(({ state }) => state.kind === "removing")
    .map((record) => () => containers.removeRecorded(record.id, 0));
  const updates = [...registry.containers()]
    .filter((record) => isLive(record) && record.limits.pending !== undefined)
    .map((record) => () => options.updater.finish(record.id));
  const reaps = [...registry.containers()]
    .filter(({ state }) => state.kind === "exited")
    .map((record) => () => containers.reap(record.id));
  const next = [...removals, ...updates, ...reaps, ...sandboxWork].values();
  const lane = async () => {
    for (const work of next) {
      await work().catch((error: unknown) => {
        log.warn("Something interrupted by the restart is not finished yet", { error });
      });
    }
  };
  await Promise.all(Array.from({ length: RESUMED_TOGETHER }, lane));
}
