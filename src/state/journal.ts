/**
 * Intent, act, done: the record of every kernel object and outside state that an operation makes.
 *
 * A *resource* is one such thing (a namespace pin, a mount, a CNI attachment, a cgroup, a runtime
 * container, a layer directory). Before it is made, its row is committed as `intended`, with
 * what undoing needs; afterwards as `done`. Undo runs from these rows and never from memory, so it
 * works the same after a failure, at removal, and after `kill -9`.
 *
 * @module
 */
import type { JsonObject } from "../model/mod.ts";

/** Row number of a resource; increases with every intent, so descending order is undo order. */
export type ResourceRow = number;

export interface Resource {
  readonly row: ResourceRow;
  /** Id of the sandbox, container, image or pull that owns it. */
  readonly owner: string;
  /** Name of a {@link ResourceType}. */
  readonly kind: string;
  readonly payload: JsonObject;
  readonly state: "intended" | "done";
  /** Boot during which it was made: kernel objects of an earlier boot are gone. */
  readonly bootId: string;
}

export interface Journal {
  /** Commits the intent; returns when it is durable enough for its database. */
  intend(owner: string, kind: string, payload: JsonObject): Promise<ResourceRow>;
  /** Commits that the thing exists, with a payload completed by what making it told. */
  done(row: ResourceRow, payload: JsonObject): Promise<void>;
  /** Commits that the thing is gone. */
  forget(row: ResourceRow): Promise<void>;
  /** Resources of an owner, oldest first. */
  ofOwner(owner: string): Promise<Resource[]>;
  /** Every owner that has resources. */
  owners(): Promise<string[]>;
}

/** How one kind of resource is undone. Each room exports its own; composition registers them. */
export interface ResourceType<P> {
  readonly kind: string;
  /** How long one undo may take before its signal fires; 60 s by default. */
  readonly undoDeadlineMs?: number;
  /** Checks a payload read from the record. @throws {InternalError} the payload is not of this kind */
  parse(payload: JsonObject): P;
  /**
   * Makes the thing not exist. May be called when it was never made, was half made or is already
   * gone; may be repeated; touches no kernel object if `resource.bootId` is not the present boot.
   */
  undo(payload: P, context: UndoContext): Promise<void>;
}

export interface UndoContext {
  readonly resource: Resource;
  readonly sameBoot: boolean;
  /** Fires at the undo step's own deadline, never with the caller's request. */
  readonly signal: AbortSignal;
}
