/**
 * Opens the two databases, and fills one that is new or was damaged from the record files.
 *
 * @module
 */
import {
  type DatabaseOrigin,
  DurableWriter,
  type FaultGates,
  ImageState,
  type Journal,
  JournalStepRunner,
  PendingCleanup,
  PodState,
  rebuild,
  type RebuildReport,
  type RebuildSource,
  RecordFiles,
  type Resource,
  ResourceTypes,
  type SpaceReserve,
  Undoer,
} from "../state/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { ServerPaths } from "./paths.ts";

export interface RecordOptions {
  readonly paths: ServerPaths;
  readonly bootId: string;
  readonly reserve: SpaceReserve;
  readonly gates: FaultGates;
  readonly log: Logger;
}

/** A journal with what works on it: the runner, the undoing, and the retries of what failed. */
export interface Journaled {
  readonly journal: Journal;
  readonly runner: JournalStepRunner;
  readonly undoer: Undoer;
  readonly pending: PendingCleanup;
}

/** The record of pods and containers, and that of images and layers. */
export interface ServerRecord extends AsyncDisposable {
  readonly pods: PodState;
  readonly images: ImageState;
  /** Kinds are registered by the rooms before anything is undone. */
  readonly podTypes: ResourceTypes;
  readonly imageTypes: ResourceTypes;
  readonly podSteps: Journaled;
  readonly imageSteps: Journaled;
  readonly files: Readonly<Record<"sandbox" | "container", RecordFiles>>;
}

export async function openRecord(options: RecordOptions): Promise<ServerRecord> {
  const { paths, bootId, reserve, log } = options;
  await using undo = new AsyncDisposableStack();
  const writer = undo.use(new DurableWriter());
  await writer.start();
  const pods = undo.use(PodState.open({
    path: paths.podsDatabase,
    bootId,
    checkpointer: writer,
    reserve,
    log,
  }));
  const images = await ImageState.open({
    path: paths.imagesDatabase,
    bootId,
    writer,
    reserve,
    log,
  });
  const podTypes = new ResourceTypes();
  const imageTypes = new ResourceTypes();
  const podSteps = journaled(options, pods.journal, podTypes);
  const imageSteps = journaled(options, images.journal, imageTypes);
  undo.use(podSteps.pending);
  undo.use(imageSteps.pending);
  const owned = undo.move();
  return {
    pods,
    images,
    podTypes,
    imageTypes,
    podSteps,
    imageSteps,
    files: {
      sandbox: recordFiles(`${paths.root}/pods`, "sandbox"),
      container: recordFiles(`${paths.root}/containers`, "container"),
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Fills the pods' database from the record files if it is not the one of the last start. */
export async function rebuildPods(
  record: ServerRecord,
  log: Logger,
): Promise<RebuildReport | undefined> {
  const { kind } = record.pods.origin;
  if (kind === "existing" || kind === "migrated") return undefined;
  logOrigin("pods", record.pods.origin, log);
  const sources: RebuildSource[] = [
    {
      files: record.files.sandbox,
      restore: (found) => record.pods.restore("sandboxes", found),
    },
    {
      files: record.files.container,
      restore: (found) => record.pods.restore("containers", found),
    },
  ];
  return await rebuild(sources, log);
}

export function logOrigin(name: string, origin: DatabaseOrigin, log: Logger): void {
  if (origin.kind === "damaged") {
    const { reason, setAside } = origin;
    log.warn("A database is damaged and filled anew from the record files", {
      database: name,
      reason,
      setAside,
    });
  } else if (origin.kind === "created") {
    log.info("A database is made and filled from what record files there are", { database: name });
  }
}

function journaled(options: RecordOptions, journal: Journal, types: ResourceTypes): Journaled {
  const { bootId, gates, log } = options;
  const undoer: Undoer = new Undoer({
    journal,
    types,
    bootId,
    gates,
    log,
    onLeft: (resource: Resource, error: unknown) => pending.add(resource, error),
  });
  const pending = new PendingCleanup({
    journal,
    undo: (resource) => undoer.undo("retry", resource),
  });
  return {
    journal,
    undoer,
    pending,
    runner: new JournalStepRunner({ journal, undoer, gates, log }),
  };
}

function recordFiles(directory: string, kind: string): RecordFiles {
  return new RecordFiles({ directory, kind, durable: false });
}
