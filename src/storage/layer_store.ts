/**
 * The layer store: fetch, unpack, commit, verify, remove.
 *
 * ```
 *   absent --apply--> unpacking --commit--> usable --makeDurable--> durable
 *                         |                    |                       |
 *                         +--failure, crash--> absent <----collect-----+
 *                                              absent <--unclean boot, tree differs from its manifest
 * ```
 * @module
 */
import {
  CancelledError,
  errorMessage,
  FailedPreconditionError,
  InternalError,
} from "../errors/mod.ts";
import type { ChainId } from "../model/mod.ts";
import {
  decodeRecord,
  type DurableRecordTable,
  encodeRecord,
  type Journal,
  type StepRunner,
} from "../state/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { LAYER_DIRECTORY, layerDirectoryPayload } from "./layer_directory.ts";
import { LayerPaths } from "./layer_paths.ts";
import { decodeLayer, encodeLayer, type StoredLayer } from "./layer_record.ts";
import {
  DEFAULT_STALL_RULE,
  type LayerApplication,
  type LayerProgress,
  type LayerRecord,
  type LayerStore,
} from "./layers.ts";
import { DEFAULT_UNPACK_LIMITS, type UnpackLimits } from "./limits.ts";
import { SharedWork } from "./shared_work.ts";
import type { StorageWorkers } from "./storage_workers.ts";
import type { UnpackReply } from "./unpacking.ts";
import type { WhiteoutFormName } from "./whiteout_form.ts";

export interface LayerStoreOptions {
  /** Directory of the runtime's lasting state; layers lie below it. */
  readonly root: string;
  readonly layers: DurableRecordTable;
  readonly journal: Journal;
  /** Has the types of {@link storageResourceTypes} registered; its journal is `journal`. */
  readonly steps: StepRunner;
  readonly workers: StorageWorkers;
  readonly bootId: string;
  /** True if the database is new or was lost: layers on disk are taken in again by their record files. */
  readonly rebuild: boolean;
  readonly log: Logger;
  readonly limits?: UnpackLimits;
  /** The form that the storage driver uses. */
  readonly whiteouts: WhiteoutFormName;
}

/** What a storage driver needs of the layers. */
export interface LayerStack {
  /**
   * Directories of an image's layers, topmost first, as overlayfs wants them.
   *
   * @throws {InternalError} a layer is missing
   */
  lowerDirectories(top: ChainId): readonly string[];
  /** Directory whose owner and mode are those of the image's root. */
  rootTemplate(top: ChainId): string;
  /** Bytes and inodes of all layers, each once. */
  total(): { readonly bytes: bigint; readonly inodes: number };
}

/** Stalled connections are given up by the worker; this only ends what nothing else would. */
const APPLY_DEADLINE_MS = 6 * 3_600_000;
const COMMIT_DEADLINE_MS = 60_000;
const RECORD_KIND = "layer";

interface ApplyContext {
  readonly application: LayerApplication;
  readonly onProgress: (progress: LayerProgress) => void;
  readonly cancelled: AbortSignal;
  stored: StoredLayer | undefined;
}

/**
 * Opens the store: finishes what a crash left half done and, after an unclean boot, verifies the layers
 * that were not durable; what differs is dropped, to be fetched again.
 *
 * @throws {FailedPreconditionError} the layers on disk were made for another storage driver
 */
export async function createLayerStore(
  options: LayerStoreOptions,
): Promise<LayerStore & LayerStack> {
  const store = new DiskLayerStore(options);
  await store.recover();
  return store;
}

class DiskLayerStore implements LayerStore, LayerStack {
  readonly #options: LayerStoreOptions;
  readonly #paths: LayerPaths;
  readonly #layers = new Map<ChainId, StoredLayer>();
  readonly #underWay = new SharedWork<ChainId, LayerRecord, LayerProgress>();
  /** Ends of removals under way; the same layer may be wanted again meanwhile. */
  readonly #removals = new Map<ChainId, Promise<void>>();

  constructor(options: LayerStoreOptions) {
    this.#options = options;
    this.#paths = new LayerPaths(options.root);
  }

  get(chainId: ChainId): LayerRecord | undefined {
    return this.#layers.get(chainId)?.record;
  }

  all(): readonly LayerRecord[] {
    return [...this.#layers.values()].map(({ record }) => record);
  }

  async apply(application: LayerApplication): Promise<LayerRecord> {
    const { chainId, signal, onProgress } = application;
    if (signal.aborted) throw new CancelledError(`Unpacking layer ${chainId} was cancelled`);
    return this.get(chainId) ??
      await this.#underWay.join({
        key: chainId,
        signal,
        ...(onProgress === undefined ? {} : { onProgress }),
        start: (cancelled, progress) => this.#apply(application, cancelled, progress),
      });
  }

  async makeDurable(chainIds: readonly ChainId[]): Promise<void> {
    const pending = chainIds
      .map((chainId) => this.#stored(chainId))
      .filter(({ record }) => !record.durable);
    if (pending.length === 0) return;
    await this.#options.workers.disk("sync", { path: this.#paths.base });
    await Promise.all(pending.map(async ({ record: { chainId } }) => {
      // Looked up again, and once more after the row: it may have been collected meanwhile.
      const layer = this.#layers.get(chainId);
      if (layer === undefined) return;
      const durable = markedDurable(layer);
      await this.#options.layers.put(chainId, encodeLayer(durable));
      if (this.#layers.get(chainId) === layer) this.#layers.set(chainId, durable);
    }));
  }

  async collect(needed: ReadonlySet<ChainId>): Promise<readonly ChainId[]> {
    const kept = new Set<ChainId>();
    for (const chainId of needed) {
      for (const layer of this.#chain(chainId)) kept.add(layer.record.chainId);
    }
    const removed: ChainId[] = [];
    for (const chainId of [...this.#layers.keys()]) {
      if (kept.has(chainId)) continue;
      await this.#remove("remove-layer", chainId);
      removed.push(chainId);
    }
    return removed;
  }

  lowerDirectories(top: ChainId): readonly string[] {
    const directories: string[] = [];
    for (const { record, root } of this.#completeChain(top)) {
      directories.push(this.#paths.diff(record.chainId));
      // overlayfs cannot hide everything below a layer's root: leaving the rest out does.
      if (root.opaque) break;
    }
    return directories;
  }

  rootTemplate(top: ChainId): string {
    const layer = this.#completeChain(top).find(({ root }) => root.described || root.opaque);
    return this.#paths.diff(layer?.record.chainId ?? top);
  }

  total(): { readonly bytes: bigint; readonly inodes: number } {
    let bytes = 0n;
    let inodes = 0;
    for (const { record } of this.#layers.values()) {
      bytes += record.diskBytes;
      inodes += record.inodes;
    }
    return { bytes, inodes };
  }

  async recover(): Promise<void> {
    await Deno.mkdir(this.#paths.base, { recursive: true, mode: 0o700 });
    await this.#loadRows();
    if (this.#options.rebuild) await this.#readRecordFiles();
    this.#checkWhiteouts();
    await this.#undoUnfinished();
    await this.#removeStrangers();
    await Promise.all([...this.#layers.values()].map((layer) => this.#verify(layer)));
  }

  async #apply(
    application: LayerApplication,
    cancelled: AbortSignal,
    onProgress: (progress: LayerProgress) => void,
  ): Promise<LayerRecord> {
    const { chainId } = application;
    await this.#removals.get(chainId);
    const context: ApplyContext = {
      application,
      cancelled,
      onProgress,
      stored: undefined,
    };
    await this.#options.steps.run("apply-layer", chainId, [
      {
        name: "unpack",
        deadlineMs: APPLY_DEADLINE_MS,
        intent: () => ({ kind: LAYER_DIRECTORY, payload: layerDirectoryPayload(chainId) }),
        act: (context, signal) => this.#unpack(context, signal),
      },
      {
        name: "commit",
        deadlineMs: COMMIT_DEADLINE_MS,
        act: async ({ stored }) => {
          if (stored !== undefined) await this.#put(stored);
        },
      },
    ], context);
    return this.#stored(chainId).record;
  }

  async #unpack(context: ApplyContext, signal: AbortSignal): Promise<void> {
    const { application, cancelled, onProgress } = context;
    const { chainId, source, compression, blobDigest, blobSize, diffId } = application;
    const directory = this.#paths.unpacking(chainId);
    await Deno.mkdir(directory, { mode: 0o700 });
    await Deno.mkdir(`${directory}/diff`);
    // Exactly, whatever the umask: unless the archive says otherwise it is what containers see as /.
    await Deno.chmod(`${directory}/diff`, 0o755);
    const reply = await this.#options.workers.unpack({
      source: source.kind === "file"
        ? source
        : { kind: "http", stall: source.stall ?? DEFAULT_STALL_RULE },
      compression,
      blobDigest,
      blobSize,
      diffId,
      directory: `${directory}/diff`,
      limits: this.#options.limits ?? DEFAULT_UNPACK_LIMITS,
      whiteouts: this.#options.whiteouts,
    }, {
      signal: AbortSignal.any([signal, cancelled]),
      onProgress,
      ...(source.kind === "http" ? { places: source.places } : {}),
    });
    const stored = this.#describe(application, reply);
    await Deno.writeTextFile(
      `${directory}/record.json`,
      encodeRecord(RECORD_KIND, {
        id: chainId,
        value: encodeLayer(stored),
        resources: [{
          owner: chainId,
          kind: LAYER_DIRECTORY,
          payload: layerDirectoryPayload(chainId),
          state: "done",
          bootId: this.#options.bootId,
        }],
      }),
      { mode: 0o600, createNew: true },
    );
    await Deno.rename(directory, this.#paths.directory(chainId));
    context.stored = stored;
  }

  #describe(
    application: LayerApplication,
    { manifest, root }: UnpackReply,
  ): StoredLayer {
    const { chainId, diffId, parent, blobDigest, blobSize } = application;
    return {
      record: {
        chainId,
        diffId,
        parent,
        blobDigest,
        blobSize,
        diskBytes: manifest.diskBytes,
        inodes: manifest.inodes,
        durable: false,
      },
      root,
      whiteouts: this.#options.whiteouts,
      manifest: { entries: manifest.entries, listing: manifest.listing },
      bootId: this.#options.bootId,
    };
  }

  async #put(layer: StoredLayer): Promise<void> {
    const { chainId } = layer.record;
    await this.#options.layers.put(chainId, encodeLayer(layer));
    this.#layers.set(chainId, layer);
  }

  /** The row first: a layer that is half removed is one that nobody knows. */
  async #remove(operation: string, chainId: ChainId): Promise<void> {
    const { steps, layers } = this.#options;
    this.#layers.delete(chainId);
    const removal = (async () => {
      await steps.commit(operation, "forget", () => layers.delete(chainId));
      await steps.undo(operation, chainId);
    })();
    this.#removals.set(chainId, removal.catch(() => {}));
    try {
      await removal;
    } finally {
      this.#removals.delete(chainId);
    }
  }

  #stored(chainId: ChainId): StoredLayer {
    const layer = this.#layers.get(chainId);
    if (layer === undefined) {
      throw new InternalError(`Layer ${chainId} is not in the store`, { id: chainId });
    }
    return layer;
  }

  /** A layer and those below it, topmost first, as far as they are here. */
  #chain(top: ChainId): StoredLayer[] {
    const chain: StoredLayer[] = [];
    const seen = new Set<ChainId>();
    for (let at: ChainId | null = top; at !== null && !seen.has(at);) {
      seen.add(at);
      const layer = this.#layers.get(at);
      // Layers arrive in any order: what is below a missing one is found by its own chain ID.
      if (layer === undefined) break;
      chain.push(layer);
      at = layer.record.parent;
    }
    return chain;
  }

  #completeChain(top: ChainId): StoredLayer[] {
    const chain = this.#chain(top);
    const missing = chain.length === 0 ? top : chain.at(-1)?.record.parent ?? null;
    if (missing !== null) this.#stored(missing);
    return chain;
  }

  async #loadRows(): Promise<void> {
    for (const { id, value } of this.#options.layers.all()) {
      try {
        const layer = decodeLayer(id as ChainId, value);
        this.#layers.set(layer.record.chainId, layer);
      } catch (error) {
        this.#options.log.error("A layer's record is damaged; the layer will be fetched again", {
          layer: id,
          error,
        });
        await this.#options.layers.delete(id);
      }
    }
  }

  /** Takes in layers whose rows were lost with the database; none of them counts as durable. */
  async #readRecordFiles(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#paths.base)) {
      const chainId = this.#paths.chainIdOf(name);
      if (chainId === undefined || this.#layers.has(chainId)) continue;
      try {
        const text = await Deno.readTextFile(this.#paths.record(chainId));
        const { value } = decodeRecord(text, { kind: RECORD_KIND, id: chainId });
        const layer = decodeLayer(chainId, { ...value, durable: false });
        const { journal } = this.#options;
        const payload = layerDirectoryPayload(chainId);
        await journal.done(await journal.intend(chainId, LAYER_DIRECTORY, payload), payload);
        await this.#put(layer);
      } catch (error) {
        this.#options.log.warn("A layer on disk has no usable record and is removed", {
          layer: chainId,
          error,
        });
      }
    }
  }

  /** Read with the wrong eyes, what a layer hides would show. Checked before anything is changed. */
  #checkWhiteouts(): void {
    const { root, whiteouts: wanted } = this.#options;
    for (const { whiteouts } of this.#layers.values()) {
      if (whiteouts === wanted) continue;
      const driver = whiteouts === "overlay" ? "overlay" : "vfs";
      throw new FailedPreconditionError(
        `The layers below ${root} were made by the ${driver} driver, and another is configured`,
        {
          path: root,
          field: "storage_driver",
          remedy: `set storage_driver to "${driver}", or remove all images with it first`,
        },
      );
    }
  }

  /** Layer directories in the journal without a layer's row: a crash came between. */
  async #undoUnfinished(): Promise<void> {
    const { journal, steps, log } = this.#options;
    for (const owner of await journal.owners()) {
      if (this.#layers.has(owner as ChainId)) continue;
      const resources = await journal.ofOwner(owner);
      if (!resources.some(({ kind }) => kind === LAYER_DIRECTORY)) continue;
      try {
        await steps.undo("recover-layer", owner, [LAYER_DIRECTORY]);
      } catch (error) {
        log.error("A half-made layer could not be removed; the next start tries again", {
          layer: owner,
          error,
        });
      }
    }
  }

  /** Whatever else lies in the directory belongs to no layer, such as the trees of a lost database. */
  async #removeStrangers(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#paths.base)) {
      const chainId = this.#paths.chainIdOf(name);
      if (chainId !== undefined && this.#layers.has(chainId)) continue;
      await this.#options.workers.disk("remove", { path: `${this.#paths.base}/${name}` });
    }
  }

  async #verify(layer: StoredLayer): Promise<void> {
    const { workers, bootId, log } = this.#options;
    const { chainId, durable } = layer.record;
    try {
      if (durable || layer.bootId === bootId) {
        if (await isDirectory(this.#paths.diff(chainId))) return;
        log.warn("A layer's files are gone; it will be fetched again", { layer: chainId });
      } else {
        const found = await workers.disk("manifest", { path: this.#paths.diff(chainId) });
        const { entries, listing } = layer.manifest;
        if (found?.entries === entries && found.listing === listing) {
          // What is here after a boot came from the disk.
          await this.#put(markedDurable(layer));
          return;
        }
        log.warn("A layer did not survive the unclean boot whole; it will be fetched again", {
          layer: chainId,
          entries: found?.entries ?? 0,
          expectedEntries: entries,
        });
      }
    } catch (error) {
      log.warn(`A layer cannot be verified; it will be fetched again: ${errorMessage(error)}`, {
        layer: chainId,
      });
    }
    await this.#remove("drop-layer", chainId);
  }
}

function markedDurable(layer: StoredLayer): StoredLayer {
  return { ...layer, record: { ...layer.record, durable: true } };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
