/** The runtime specification in a container's bundle. @module */
import { InternalError } from "../errors/mod.ts";
import type { JsonObject } from "../model/mod.ts";
import type { ContainerRecord } from "./container.ts";

/** Undefined when the bundle is gone: after a reboot, or a removal. */
export function specOf({ place }: ContainerRecord): JsonObject | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(`${place.bundle}/config.json`)) as JsonObject;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The container's process, from which a command in it takes all but its arguments. */
export function processOf(record: ContainerRecord): JsonObject {
  const process = specOf(record)?.["process"];
  if (typeof process === "object" && process !== null) return process as JsonObject;
  throw new InternalError(`The bundle of container ${record.id} has no process`, {
    id: record.id,
    path: record.place.bundle,
  });
}
