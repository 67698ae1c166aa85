/**
 * Bringing the layers of an image onto the disk: those that are missing, at the same time, each from
 * the first source that gives it.
 *
 * @module
 */
import type { LayerDescriptor } from "./manifest.ts";
import type { ImageConfig, PullProgress } from "./images.ts";
import type { ImageLayer } from "./stored_image.ts";
import type { LayerProgress, LayerStore } from "../storage/mod.ts";
import type { LayerCompression } from "../storage/layers.ts";
import type { Plan } from "../state/mod.ts";
import { chainIds, checkLayerCount } from "./image_config.ts";

/** A layer with everything that its application needs except the source. */
export interface WantedLayer extends ImageLayer {
  readonly compression: LayerCompression;
  readonly parent: ImageLayer["chainId"] | null;
}

/** Joins what the manifest and the configuration say about the same layers, bottom first. */
export function wantedLayers(
  descriptors: readonly LayerDescriptor[],
  config: ImageConfig,
): readonly WantedLayer[] {
  checkLayerCount(descriptors.length, config.diffIds.length);
  const chain = chainIds(config.diffIds);
  return descriptors.map(({ digest, size, compression }, index) => ({
    chainId: chain[index]!,
    parent: chain[index - 1] ?? null,
    diffId: config.diffIds[index]!,
    blobDigest: digest,
    blobSize: size,
    compression,
  }));
}

/** The part of a wanted layer that the record keeps. */
export function recordedLayer(layer: WantedLayer): ImageLayer {
  const { chainId, diffId, blobDigest, blobSize } = layer;
  return { chainId, diffId, blobDigest, blobSize };
}

/** Only what nothing else would end: stalled connections are given up much earlier. */
const LAYER_DEADLINE_MS = 6 * 3_600_000;

/** Fetches one layer from wherever it comes; tries again as it sees fit. */
export type LayerFetcher = (
  layer: WantedLayer,
  progress: (progress: LayerProgress) => void,
  signal: AbortSignal,
) => Promise<void>;

/** One branch a missing layer; steps named `fetch-layer`. */
export function layersPlan(
  layers: readonly WantedLayer[],
  store: LayerStore,
  board: ProgressBoard,
  fetch: LayerFetcher,
): Plan<undefined> {
  const missing = layers.filter(({ chainId }) => store.get(chainId) === undefined);
  return [{
    parallel: missing.map((layer) => [{
      name: "fetch-layer",
      deadlineMs: LAYER_DEADLINE_MS,
      act: async (_: undefined, signal: AbortSignal) => {
        board.update(layer, "fetching");
        await fetch(layer, (progress) => board.update(layer, "fetching", progress), signal);
        board.update(layer, "done");
      },
    }]),
  }];
}

type LayerState = PullProgress["layers"][number];

/** The state of each layer of a pull, told to whoever listens at each change. */
export class ProgressBoard {
  readonly #listeners: Set<(progress: PullProgress) => void>;
  #layers: LayerState[] = [];

  constructor(listeners: Set<(progress: PullProgress) => void>) {
    this.#listeners = listeners;
  }

  start(layers: readonly WantedLayer[], store: LayerStore): void {
    this.#layers = layers.map(({ chainId, blobDigest, blobSize }) => ({
      digest: blobDigest,
      sizeBytes: blobSize,
      state: store.get(chainId) === undefined ? "queued" : "present",
    }));
    this.#tell();
  }

  update(
    layer: WantedLayer,
    state: "fetching" | "done",
    progress?: LayerProgress,
  ): void {
    this.#layers = this.#layers.map((entry) =>
      entry.digest !== layer.blobDigest || entry.state === "done" || entry.state === "present"
        ? entry
        : { ...entry, state, ...(progress === undefined ? {} : { progress }) }
    );
    this.#tell();
  }

  #tell(): void {
    const progress = { layers: this.#layers };
    for (const listener of this.#listeners) listener(progress);
  }
}
