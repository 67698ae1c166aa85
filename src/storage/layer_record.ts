/**
 * The commit record of a layer as it is stored: a row of the database, and `record.json` beside the
 * layer's files.
 *
 * @module
 */
import { InternalError, shown } from "../errors/mod.ts";
import {
  type ChainId,
  type DiffId,
  type Digest,
  isDigest,
  type JsonObject,
  type JsonValue,
} from "../model/mod.ts";
import type { LayerRoot } from "./layer_writer.ts";
import type { LayerRecord } from "./layers.ts";
import type { TreeManifest } from "./tree_manifest.ts";
import type { WhiteoutFormName } from "./whiteout_form.ts";

/** What the store keeps of a layer beyond what others see. */
export interface StoredLayer {
  readonly record: LayerRecord;
  readonly root: LayerRoot;
  /** How its whiteouts lie on disk: only a driver that knows the form can use the layer. */
  readonly whiteouts: WhiteoutFormName;
  /** What the tree looked like when it was complete. */
  readonly manifest: Pick<TreeManifest, "entries" | "listing">;
  /** Boot during which it was unpacked or last verified; empty if unknown. */
  readonly bootId: string;
}

export function encodeLayer(layer: StoredLayer): JsonObject {
  const { record, root, whiteouts, manifest, bootId } = layer;
  return {
    diffId: record.diffId,
    parent: record.parent,
    blobDigest: record.blobDigest,
    blobSize: record.blobSize.toString(),
    diskBytes: record.diskBytes.toString(),
    inodes: record.inodes,
    durable: record.durable,
    rootOpaque: root.opaque,
    rootDescribed: root.described,
    whiteouts,
    entries: manifest.entries,
    listing: manifest.listing,
    bootId,
  };
}

/** @throws {InternalError} the value is not a layer's record; names the field */
export function decodeLayer(chainId: ChainId, value: JsonObject): StoredLayer {
  const read = new FieldReader(chainId, value);
  return {
    record: {
      chainId,
      diffId: read.digest("diffId") as DiffId,
      parent: value.parent === null ? null : read.digest("parent") as ChainId,
      blobDigest: read.digest("blobDigest") as Digest,
      blobSize: read.bytes("blobSize"),
      diskBytes: read.bytes("diskBytes"),
      inodes: read.count("inodes"),
      durable: read.flag("durable"),
    },
    root: { opaque: read.flag("rootOpaque"), described: read.flag("rootDescribed") },
    whiteouts: read.whiteouts("whiteouts"),
    manifest: { entries: read.count("entries"), listing: read.digest("listing") },
    bootId: typeof value.bootId === "string" ? value.bootId : "",
  };
}

class FieldReader {
  readonly #chainId: ChainId;
  readonly #value: JsonObject;

  constructor(chainId: ChainId, value: JsonObject) {
    this.#chainId = chainId;
    this.#value = value;
  }

  digest(field: string): string {
    const value = this.#value[field];
    return typeof value === "string" && isDigest(value) ? value : this.#fail(field, value);
  }

  bytes(field: string): bigint {
    const value = this.#value[field];
    return typeof value === "string" && /^\d{1,19}$/.test(value)
      ? BigInt(value)
      : this.#fail(field, value);
  }

  count(field: string): number {
    const value = this.#value[field];
    return typeof value === "number" && Number.isSafeInteger(value) && value >= 0
      ? value
      : this.#fail(field, value);
  }

  flag(field: string): boolean {
    const value = this.#value[field];
    return typeof value === "boolean" ? value : this.#fail(field, value);
  }

  whiteouts(field: string): WhiteoutFormName {
    // Records of before there was a choice have none.
    const value = this.#value[field] ?? "overlay";
    return value === "overlay" || value === "archive" ? value : this.#fail(field, value);
  }

  #fail(field: string, value: JsonValue | undefined): never {
    throw new InternalError(
      `The record of layer ${this.#chainId} is damaged: ${field} is ${shown(value)}`,
      { field, id: this.#chainId },
    );
  }
}
