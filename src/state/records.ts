/**
 * The record of pods and containers: what the database keeps of each, and the store that keeps it.
 * Values are plain JSON documents owned by `pod/`; this room knows their keys only.
 *
 * @module
 */
import type { JsonObject } from "../model/mod.ts";

/** A keyed collection of JSON documents in one table; every change is one transaction. */
export interface RecordTable {
  get(id: string): JsonObject | undefined;
  all(): { readonly id: string; readonly value: JsonObject }[];
  put(id: string, value: JsonObject): void;
  delete(id: string): void;
}
