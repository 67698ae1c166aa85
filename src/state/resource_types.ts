/** The registry of resource types: how each kind is undone. @module */
import { InternalError, shown } from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import type { Resource, ResourceType, UndoContext } from "./journal.ts";

const UNDO_DEADLINE_MS = 60_000;

/** A type with its payload's shape hidden, so that types of all kinds fit one map. */
interface Registered {
  readonly kind: string;
  readonly undoDeadlineMs: number;
  undo(payload: JsonObject, context: UndoContext): Promise<void>;
}

export class ResourceTypes {
  readonly #types = new Map<string, Registered>();

  /** @throws {InternalError} the kind is registered already */
  register<P>(type: ResourceType<P>): this {
    if (this.#types.has(type.kind)) {
      throw new InternalError(`Resource kind ${shown(type.kind)} is registered twice`);
    }
    this.#types.set(type.kind, {
      kind: type.kind,
      undoDeadlineMs: type.undoDeadlineMs ?? UNDO_DEADLINE_MS,
      undo: async (payload, context) => await type.undo(type.parse(payload), context),
    });
    return this;
  }

  kinds(): string[] {
    return [...this.#types.keys()].sort();
  }

  /** @throws {InternalError} no room registered the kind: the row was written by another version */
  of(resource: Resource): Registered {
    const type = this.#types.get(resource.kind);
    if (type === undefined) {
      throw new InternalError(
        `Nothing here knows how to undo a ${shown(resource.kind)} of ${resource.owner}`,
        {
          id: resource.owner,
          value: resource.kind,
          remedy: "start the version of the program that made it",
        },
      );
    }
    return type;
  }
}
