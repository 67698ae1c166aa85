/**
 * Record files: beside each bundle and each layer, what the database knows of it, so that the database
 * can be rebuilt. One JSON object a file:
 *
 * ```json
 * {"version":1,"kind":"sandbox","id":"4f0c...","value":{},"resources":[],"checksum":"sha256:..."}
 * ```
 * The checksum is that of the same object, serialized without it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import {
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  shown,
} from "../errors/mod.ts";
import type { JsonObject, JsonValue } from "../model/mod.ts";
import type { Resource } from "./journal.ts";

/** A resource without its row number, which each database gives anew. In the order of making. */
export type StoredResource = Omit<Resource, "row">;

export interface StoredRecord {
  readonly id: string;
  readonly value: JsonObject;
  readonly resources: readonly StoredResource[];
}

export const RECORD_VERSION = 1;

/** The file's text. */
export function encodeRecord(kind: string, record: StoredRecord): string {
  const { id, value } = record;
  const resources = record.resources.map(({ owner, kind, payload, state, bootId }) => ({
    owner,
    kind,
    payload,
    state,
    bootId,
  }));
  const body = { version: RECORD_VERSION, kind, id, value, resources };
  return `${JSON.stringify({ ...body, checksum: checksumOf(body) })}\n`;
}

/**
 * @throws {InternalError} the text is damaged, or the record of something else
 * @throws {FailedPreconditionError} a newer program wrote it
 */
export function decodeRecord(text: string, expected: { kind: string; id: string }): StoredRecord {
  const parsed = parseObject(text);
  const { checksum, ...body } = parsed;
  if (checksum !== checksumOf(body)) {
    throw new InternalError("The record's checksum does not match");
  }
  const { version, kind, id, value, resources } = body;
  if (typeof version !== "number" || version > RECORD_VERSION) {
    throw new FailedPreconditionError(
      `The record has format ${shown(version)}, this program knows formats up to ${RECORD_VERSION}`,
      { value: String(version), remedy: "start the newer program again" },
    );
  }
  if (kind !== expected.kind || id !== expected.id) {
    throw new InternalError(
      `The record is that of ${shown(kind)} ${shown(id)}, not of ${expected.kind} ${expected.id}`,
    );
  }
  if (!isObject(value) || !Array.isArray(resources)) {
    throw new InternalError("The record lacks its value or its resources");
  }
  return { id: expected.id, value, resources: resources.map(storedResource) };
}

/** An id that is safe as a file name. @throws {InvalidArgumentError} it is not */
export function checkRecordId(id: string): void {
  if (!RECORD_ID.test(id)) {
    throw new InvalidArgumentError(`${shown(id)} cannot name a record`, { field: "id", value: id });
  }
}

export function isRecordId(name: string): boolean {
  return RECORD_ID.test(name);
}

const RECORD_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$/;

function checksumOf(body: Record<string, unknown>): string {
  return `sha256:${createHash("sha256").update(JSON.stringify(body)).digest("hex")}`;
}

function parseObject(text: string): Record<string, JsonValue> {
  let parsed: JsonValue;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new InternalError("The record is not JSON", { cause: error });
  }
  if (!isObject(parsed)) throw new InternalError("The record is not a JSON object");
  return parsed;
}

function storedResource(resource: JsonValue): StoredResource {
  if (isObject(resource)) {
    const { owner, kind, payload, state, bootId } = resource;
    if (
      typeof owner === "string" && typeof kind === "string" && typeof bootId === "string" &&
      isObject(payload) && (state === "intended" || state === "done")
    ) {
      return { owner, kind, payload, state, bootId };
    }
  }
  throw new InternalError("The record has a resource that is not one");
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
