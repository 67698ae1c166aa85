/**
 * The record of pods, containers, images and layers: what the databases keep of each. Values are
 * plain JSON documents owned by the rooms above; this room knows their keys only.
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

/**
 * The same for images and layers, whose changes must survive a power cut: reads come from a copy in
 * memory, writes return when they are on the disk. A read sees a write once that has returned.
 *
 * Writes throw {UnavailableError} when the writing worker died: repeat the call.
 */
export interface DurableRecordTable {
  get(id: string): JsonObject | undefined;
  all(): { readonly id: string; readonly value: JsonObject }[];
  put(id: string, value: JsonObject): Promise<void>;
  delete(id: string): Promise<void>;
}
