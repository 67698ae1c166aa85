/**
 * Undoes resources from their rows: with a deadline of its own for each, one at a time for each row,
 * whoever asks (a failed run, a removal, the recovery, a retry).
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import { type Logger, silentLogger } from "../telemetry/mod.ts";
import { withDeadline } from "./_deadline.ts";
import { type FaultGates, NO_FAULT_GATES } from "./fault_gates.ts";
import type { Journal, Resource, ResourceRow } from "./journal.ts";
import type { ResourceTypes } from "./resource_types.ts";

export interface UndoerOptions {
  readonly journal: Journal;
  readonly types: ResourceTypes;
  readonly bootId: string;
  readonly gates?: FaultGates;
  readonly log?: Logger;
  /** How long an undo that ignores its signal is waited for; 5 s by default. */
  readonly graceMs?: number;
  /** Told of each row that stays, so that it can be tried again. */
  readonly onLeft?: (resource: Resource, error: unknown) => void;
}

/** What a step has intended, as far as it came. */
export interface Making {
  row: ResourceRow | undefined;
}

export interface StillMaking {
  readonly operation: string;
  readonly owner: string;
  readonly making: Making;
  /** Resolves when the act has ended, well or not. */
  readonly settled: Promise<void>;
}

/** A resource that could not be undone; its row stays. */
export interface LeftResource {
  readonly resource: Resource;
  readonly error: unknown;
}

export class Undoer {
  readonly #options: UndoerOptions;
  readonly #gates: FaultGates;
  readonly #log: Logger;
  readonly #underWay = new Map<ResourceRow, Promise<void>>();
  /** Rows whose making was given up but still runs: they are undone, but not forgotten. */
  readonly #stillMaking = new Set<ResourceRow>();

  constructor(options: UndoerOptions) {
    this.#options = options;
    this.#gates = options.gates ?? NO_FAULT_GATES;
    this.#log = options.log ?? silentLogger;
  }

  /**
   * Undoes resources, newest first. A failing one does not stop the others.
   *
   * @param operation first part of the gates' names
   * @returns those that are left
   */
  async undoAll(operation: string, resources: readonly Resource[]): Promise<LeftResource[]> {
    const left: LeftResource[] = [];
    for (const resource of [...resources].sort((a, b) => b.row - a.row)) {
      try {
        await this.undo(operation, resource);
      } catch (error) {
        const { owner, kind, row } = resource;
        this.#log.error("Undoing a resource failed", { operation, owner, kind, row, error });
        left.push({ resource, error });
        this.#options.onLeft?.(resource, error);
      }
    }
    return left;
  }

  /** Undoes one resource and forgets it; joins an undo of the same row that is under way. */
  undo(operation: string, resource: Resource): Promise<void> {
    const underWay = this.#underWay.get(resource.row);
    if (underWay !== undefined) return underWay;
    const undoing = this.#undo(operation, resource)
      .finally(() => this.#underWay.delete(resource.row));
    this.#underWay.set(resource.row, undoing);
    return undoing;
  }

  /**
   * Says that a resource's making did not end in time and may still make it. Until it has settled the
   * row is kept, whatever is undone; then the resource is undone once more and forgotten. If it
   * never settles, the next start finds the row.
   */
  stillMaking({ operation, owner, making, settled }: StillMaking): void {
    if (making.row !== undefined) this.#stillMaking.add(making.row);
    void settled.then(async () => {
      // The intent itself may have been what took so long.
      const { row } = making;
      if (row === undefined) return;
      this.#stillMaking.delete(row);
      const resources = await this.#options.journal.ofOwner(owner);
      await this.undoAll(operation, resources.filter((resource) => resource.row === row));
    }).catch((error) => {
      this.#log.error("Undoing what a given-up step made failed", { operation, owner, error });
    });
  }

  async #undo(operation: string, resource: Resource): Promise<void> {
    const gate = `${operation}.undo-${resource.kind}`;
    const type = this.#options.types.of(resource);
    if (this.#gates.active) await this.#gates.pass(`${gate}.before`);
    const result = await withDeadline(
      {
        deadlineMs: type.undoDeadlineMs,
        graceMs: this.#options.graceMs ?? 5000,
        what: `Undoing the ${resource.kind} of ${resource.owner}`,
        stage: `undo-${resource.kind}`,
      },
      (signal) =>
        type.undo(resource.payload, {
          resource,
          sameBoot: resource.bootId === this.#options.bootId,
          signal,
        }),
    );
    if (result.kind !== "ended") throw result.error;
    if (this.#gates.active) await this.#gates.pass(`${gate}.acted`);
    if (this.#stillMaking.has(resource.row)) {
      throw new InternalError(
        `The ${resource.kind} of ${resource.owner} is undone, but its making has not stopped`,
        {
          id: resource.owner,
          remedy: "it is undone again when the making stops or at the next start",
        },
      );
    }
    await this.#options.journal.forget(resource.row);
    if (this.#gates.active) await this.#gates.pass(`${gate}.forgotten`);
  }
}
