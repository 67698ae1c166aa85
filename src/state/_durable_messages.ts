/** What the main thread and the durable worker say to each other. @module */
import type { JsonObject } from "../model/mod.ts";
import type { DatabaseOrigin } from "./database.ts";
import type { Resource, ResourceRow } from "./journal.ts";
import type { StoredResource } from "./record_file.ts";

export const IMAGE_TABLES = ["images", "layers"] as const;
export type ImageTable = typeof IMAGE_TABLES[number];

/** One change of `images.db`. */
export type ImageChange =
  | {
    readonly op: "put";
    readonly table: ImageTable;
    readonly id: string;
    readonly value: JsonObject;
  }
  | { readonly op: "delete"; readonly table: ImageTable; readonly id: string }
  | {
    readonly op: "intend";
    readonly owner: string;
    readonly kind: string;
    readonly payload: JsonObject;
  }
  | { readonly op: "done"; readonly row: ResourceRow; readonly payload: JsonObject }
  | { readonly op: "forget"; readonly row: ResourceRow }
  | { readonly op: "restore"; readonly resource: StoredResource }
  /** See `markUsed`. */
  | { readonly op: "used" };

/** The row that an `intend` or a `restore` got; null for the other changes. */
export type ChangeResult = ResourceRow | null;

export interface ImageContents {
  readonly origin: DatabaseOrigin;
  readonly images: readonly { readonly id: string; readonly value: JsonObject }[];
  readonly layers: readonly { readonly id: string; readonly value: JsonObject }[];
  readonly resources: readonly Resource[];
}

// A type, because an interface has no index signature.
export type DurableOperations = {
  /** Opens `images.db` if it is not open, and reads all of it. */
  open: {
    request: { readonly path: string; readonly bootId: string; readonly closedByDeath: boolean };
    reply: ImageContents;
  };
  /** All changes in one commit that survives a power cut; null if `open` must be called first. */
  commit: { request: readonly ImageChange[]; reply: ChangeResult[] | null };
  /** A passive checkpoint of another database: waits for nobody, and lets nobody wait. */
  checkpoint: { request: { readonly path: string }; reply: void };
  /** Closes everything, with a last checkpoint. */
  close: { request: null; reply: void };
};
