/**
 * Fills the databases from the record files beside the bundles and layers: all of it when a database
 * was made anew, and what it misses when it lost its last commits.
 *
 * @module
 */
import { errorMessage } from "../errors/mod.ts";
import { type Logger, silentLogger } from "../telemetry/mod.ts";
import type { StoredRecord } from "./record_file.ts";
import type { RecordFiles } from "./record_files.ts";

/** One directory of record files and where its records go. */
export interface RebuildSource {
  readonly files: RecordFiles;
  /** Enters record and resources in one commit. @returns false if the id is there already */
  readonly restore: (record: StoredRecord) => boolean | Promise<boolean>;
}

export interface RebuildReport {
  readonly restored: readonly { readonly kind: string; readonly id: string }[];
  /** Records that were there already. */
  readonly known: number;
  readonly damaged: readonly {
    readonly kind: string;
    readonly id: string;
    readonly reason: string;
    readonly setAside: string;
  }[];
  readonly skipped: readonly {
    readonly kind: string;
    readonly id: string;
    readonly reason: string;
  }[];
}

/**
 * Reads every record file of the sources, one after the other, and enters those that are missing.
 * A record that is damaged or cannot be entered is told and stops nothing.
 */
export async function rebuild(
  sources: readonly RebuildSource[],
  log: Logger = silentLogger,
): Promise<RebuildReport> {
  const restored: { kind: string; id: string }[] = [];
  const damaged: RebuildReport["damaged"][number][] = [];
  const skipped: RebuildReport["skipped"][number][] = [];
  let known = 0;
  for (const { files, restore } of sources) {
    const { kind } = files;
    const skip = (id: string, error: unknown) => {
      skipped.push({ kind, id, reason: errorMessage(error) });
      log.error("A record file could not be used", { kind, id, error });
    };
    for await (const found of files.scan()) {
      switch (found.kind) {
        case "damaged": {
          const { id, reason, setAside } = found;
          damaged.push({ kind, id, reason, setAside });
          log.error("A damaged record file was set aside", { kind, id, reason, setAside });
          break;
        }
        case "skipped":
          skip(found.id, found.error);
          break;
        case "record": {
          const { id } = found.record;
          try {
            if (await restore(found.record)) restored.push({ kind, id });
            else known++;
          } catch (error) {
            skip(id, error);
          }
          break;
        }
      }
    }
  }
  return { restored, known, damaged, skipped };
}
