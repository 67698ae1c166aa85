/**
 * The storage drivers, by the names that `storage_driver` has for them.
 *
 * @module
 */
import { InvalidArgumentError } from "../errors/mod.ts";
import type { SnapshotsOptions } from "./driver_snapshots.ts";
import { createOverlaySnapshots } from "./overlay.ts";
import type { Snapshots } from "./snapshots.ts";
import { createVfsSnapshots } from "./vfs.ts";
import type { WhiteoutFormName } from "./whiteout_form.ts";

export interface StorageDriver {
  /** What it wants layers to look like. */
  readonly whiteouts: WhiteoutFormName;
  readonly open: (options: SnapshotsOptions) => Promise<Snapshots>;
}

const DRIVERS: ReadonlyMap<string, StorageDriver> = new Map<string, StorageDriver>([
  ["overlay", { whiteouts: "overlay", open: createOverlaySnapshots }],
  ["vfs", { whiteouts: "archive", open: createVfsSnapshots }],
]);

/** @throws {InvalidArgumentError} there is no such driver; lists them */
export function storageDriver(name: string): StorageDriver {
  const driver = DRIVERS.get(name);
  if (driver !== undefined) return driver;
  throw new InvalidArgumentError(`There is no storage driver ${JSON.stringify(name)}`, {
    field: "storage_driver",
    value: name,
    remedy: `use one of: ${[...DRIVERS.keys()].join(", ")}`,
  });
}
