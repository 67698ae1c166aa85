/**
 * At the start: undoes what operations had made that were killed before their commit.
 *
 * @module
 */
import { type Logger, silentLogger } from "../telemetry/mod.ts";
import type { Journal, Resource } from "./journal.ts";
import type { Undoer } from "./undoing.ts";

export interface RecoveryOptions {
  readonly journal: Journal;
  readonly undoer: Undoer;
  /** True if the owner's record exists, so that its resources are meant to. */
  readonly isCommitted: (owner: string) => boolean;
  readonly log?: Logger;
  /** Owners undone at the same time; 8 by default. */
  readonly concurrency?: number;
}

export interface RecoveredResource {
  readonly owner: string;
  readonly kind: string;
  readonly outcome:
    | { readonly kind: "undone" }
    /** Its row stays; the undoer has told whoever retries. */
    | { readonly kind: "failed"; readonly error: unknown };
}

/**
 * Undoes every resource of every owner that was not committed, newest first within an owner. Rows of
 * committed owners are not touched, not even intents: their operation repeats or undoes them.
 *
 * Gates are passed as `recover.undo-<kind>`. A failing undo stops nothing.
 */
export async function recover(options: RecoveryOptions): Promise<RecoveredResource[]> {
  const { journal, isCommitted, concurrency = 8 } = options;
  const owners = (await journal.owners()).filter((owner) => !isCommitted(owner));
  const report: RecoveredResource[] = [];
  const next = owners.values();
  const lane = async () => {
    for (const owner of next) report.push(...await recoverOwner(options, owner));
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return report;
}

async function recoverOwner(options: RecoveryOptions, owner: string): Promise<RecoveredResource[]> {
  const { journal, undoer, log = silentLogger } = options;
  const resources = await journal.ofOwner(owner);
  const left = await undoer.undoAll("recover", resources);
  const errors = new Map<Resource, unknown>(left.map(({ resource, error }) => [resource, error]));
  log.info("Undid an operation that was cut off", {
    owner,
    resources: resources.length,
    failed: left.length,
  });
  return resources.toReversed().map((resource) => ({
    owner,
    kind: resource.kind,
    outcome: errors.has(resource)
      ? { kind: "failed", error: errors.get(resource) }
      : { kind: "undone" },
  }));
}
