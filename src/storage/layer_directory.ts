/**
 * The resource `layer-directory`: a layer's directory on disk, from its temporary beginning on.
 *
 * @module
 */
import { InternalError, shown } from "../errors/mod.ts";
import { type ChainId, isDigest, type JsonObject } from "../model/mod.ts";
import type { ResourceType } from "../state/mod.ts";
import { LayerPaths } from "./layer_paths.ts";
import type { StorageWorkers } from "./storage_workers.ts";

export const LAYER_DIRECTORY = "layer-directory";

export interface LayerDirectory {
  readonly chainId: ChainId;
}

/** Huge layers on slow disks take their time, and nobody waits for them to be gone in a hurry. */
const REMOVAL_DEADLINE_MS = 15 * 60_000;

export function layerDirectoryPayload(chainId: ChainId): JsonObject {
  return { chainId };
}

/** Undo removes the directory and whatever a half-done unpacking or removal of it left. */
export function layerDirectoryType(
  paths: LayerPaths,
  workers: StorageWorkers,
): ResourceType<LayerDirectory> {
  return {
    kind: LAYER_DIRECTORY,
    undoDeadlineMs: REMOVAL_DEADLINE_MS,
    parse(payload) {
      const { chainId } = payload;
      // The paths are made from the id, so that no damaged row can name another directory.
      if (typeof chainId !== "string" || !isDigest(chainId)) {
        throw new InternalError(`A ${LAYER_DIRECTORY} names the layer ${shown(chainId)}`);
      }
      return { chainId: chainId as ChainId };
    },
    async undo({ chainId }) {
      const removing = paths.removing(chainId);
      await workers.disk("remove", { path: removing });
      try {
        await Deno.rename(paths.directory(chainId), removing);
        await workers.disk("remove", { path: removing });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
      await workers.disk("remove", { path: paths.unpacking(chainId) });
    },
  };
}
