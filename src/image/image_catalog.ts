/**
 * Which images there are: their names, who needs which layer, and every change of that.
 *
 * Changes come one after the other; reads see only what is committed. A layer is kept while an image
 * has it or somebody holds it, and everything else is collected when it becomes free.
 *
 * @module
 */
import {
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  shown,
} from "../errors/mod.ts";
import type { ChainId, Digest, ImageId } from "../model/mod.ts";
import type { DurableRecordTable, Journal, StepRunner } from "../state/mod.ts";
import type { LayerStore } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { IMAGE_DIRECTORY, type ImageDirectories } from "./image_directory.ts";
import type { ImageRecord, ImageUsers } from "./images.ts";
import { Lock } from "./lock.ts";
import { matchesPinned } from "./pinned.ts";
import type { ImageReference } from "./reference.ts";
import {
  decodeImage,
  encodeImage,
  repositoryOf,
  type StoredImage,
  toRecord,
  withName,
  withoutName,
} from "./stored_image.ts";

export interface ImageCatalogOptions {
  readonly table: DurableRecordTable;
  readonly journal: Journal;
  readonly steps: StepRunner;
  readonly layers: LayerStore;
  readonly directories: ImageDirectories;
  readonly users: ImageUsers;
  /** Patterns of `pinned_images` and the pause image, as they are now. */
  readonly pinned: () => readonly string[];
  readonly log: Logger;
}

/** An image that is complete on disk and wants to be known. */
export interface NewImage {
  /** Without names. */
  readonly image: StoredImage;
  readonly documents: { readonly manifest: Uint8Array; readonly config: Uint8Array };
  readonly names: readonly ImageReference[];
  /** Digests of index and manifest, by which each name's repository has it; none for archives. */
  readonly digests: readonly Digest[];
}

const COMMIT_DEADLINE_MS = 60_000;
/** Shortest text that is taken for the beginning of an id. */
const MIN_ID_PREFIX = 3;

export class ImageCatalog {
  readonly #options: ImageCatalogOptions;
  readonly #images = new Map<ImageId, StoredImage>();
  readonly #changes = new Lock();
  /** A layer that is being marked durable must not be removed meanwhile: the mark would bring it back. */
  readonly #durability = new Lock();
  readonly #heldImages = new Map<ImageId, number>();
  readonly #heldLayers = new Map<ChainId, number>();

  constructor(options: ImageCatalogOptions) {
    this.#options = options;
  }

  /** Images whose layers are all here. */
  all(): readonly ImageRecord[] {
    return [...this.#images.values()]
      .filter((image) => this.#isComplete(image))
      .map((image) => this.#record(image));
  }

  get(id: ImageId): ImageRecord | undefined {
    const image = this.#images.get(id);
    return image === undefined || !this.#isComplete(image) ? undefined : this.#record(image);
  }

  /**
   * By id or the beginning of one; images that lack layers are found, too, so that they can be removed.
   *
   * @throws {InvalidArgumentError} the prefix fits several images
   */
  identify(text: string): ImageId | undefined {
    const hex = text.startsWith("sha256:") ? text.slice("sha256:".length) : text;
    if (hex.length < MIN_ID_PREFIX || !/^[0-9a-f]{3,64}$/.test(hex)) return undefined;
    const fitting = [...this.#images.keys()].filter((id) => id.startsWith(hex));
    if (fitting.length > 1) {
      throw new InvalidArgumentError(`The image id ${shown(text)} fits ${fitting.length} images`, {
        field: "image",
        value: text,
        remedy: "give more of the id",
      });
    }
    return fitting[0];
  }

  /** By tag or digest, as {@link identify}. */
  named(reference: ImageReference): ImageId | undefined {
    const name = String(reference);
    for (const image of this.#images.values()) {
      if (image.names.includes(name)) return image.id;
      if (this.#record(image).repoDigests.includes(name)) return image.id;
    }
    return undefined;
  }

  /** The configuration of an image as its author wrote it; undefined if there is none. */
  configBytes(id: ImageId): Promise<Uint8Array | undefined> {
    return this.#options.directories.readConfig(id);
  }

  /** Keeps an image from being removed. @throws {NotFoundError} there is none */
  hold(id: ImageId): Disposable {
    if (!this.#images.has(id)) throw new NotFoundError(`There is no image ${id}`, { id });
    return held(this.#heldImages, [id]);
  }

  /** Keeps layers from being collected, present or still to come. */
  async holdLayers(chainIds: readonly ChainId[]): Promise<Disposable> {
    using _turn = await this.#changes.acquire();
    return held(this.#heldLayers, chainIds);
  }

  /**
   * Makes an image known under its names, which move here from other images. The caller holds its
   * layers.
   */
  async add(
    operation: string,
    { image, documents, names, digests }: NewImage,
  ): Promise<ImageRecord> {
    using _turn = await this.#changes.acquire();
    const { steps, directories } = this.#options;
    const before = this.#images.get(image.id);
    // The layers are those just fetched; of the old record only the names go on.
    const merged = { ...image, names: before?.names ?? [], digests: before?.digests ?? [] };
    const after = names.reduce((named, name) => withName(named, name, digests), merged);
    await steps.run(operation, image.id, [
      {
        name: "write-image-files",
        deadlineMs: COMMIT_DEADLINE_MS,
        intent: () =>
          before === undefined
            ? { kind: IMAGE_DIRECTORY, payload: directories.payload(image.id) }
            : undefined,
        act: async () => {
          await directories.writeDocuments(image.id, documents);
          await directories.writeRecord(after);
        },
      },
      {
        name: "commit-image",
        deadlineMs: COMMIT_DEADLINE_MS,
        act: () => this.#put(after),
      },
    ], undefined);
    for (const name of names) await this.#takeNameFromOthers(operation, String(name), image.id);
    return this.#record(after);
  }

  /**
   * Removes the image with all its names.
   *
   * @throws {FailedPreconditionError} in use; names the container
   */
  async removeImage(id: ImageId): Promise<void> {
    using _turn = await this.#changes.acquire();
    await this.#removeImage(id);
  }

  /**
   * Removes one name, and the image with its last one; a digest that is no name itself stands for all
   * names of its repository.
   */
  async removeName(id: ImageId, reference: ImageReference): Promise<void> {
    using _turn = await this.#changes.acquire();
    const image = this.#images.get(id);
    if (image === undefined) return;
    const name = String(reference);
    const going = image.names.includes(name)
      ? [name]
      : image.names.filter((other) => repositoryOf(other) === reference.repository);
    const after = going.reduce(withoutName, image);
    if (after.names.length === 0) return await this.#removeImage(id);
    await this.#rename("remove-image", after);
  }

  /** Removes layers that nobody needs; with them the bytes of pulls that failed. */
  async collect(): Promise<void> {
    using _turn = await this.#changes.acquire();
    await this.#collect();
  }

  /** Makes the layers of images survive a power cut; images removed since do not matter. */
  async makeDurable(images: readonly ImageRecord[]): Promise<void> {
    using _turn = await this.#durability.acquire();
    const pending = this.notDurable(images);
    if (pending.length > 0) await this.#options.layers.makeDurable(pending);
  }

  /** Their layers that a power cut may take, each once. */
  notDurable(images: readonly ImageRecord[]): readonly ChainId[] {
    const layers = new Set(images.flatMap((image) => image.layers));
    return [...layers].filter((chainId) => this.#options.layers.get(chainId)?.durable === false);
  }

  /**
   * At the start: takes in the rows, or the record files if `rebuild`; undoes half-made images and
   * removes layers of no image. One damaged record stops nothing.
   */
  async recover(rebuild: boolean): Promise<void> {
    const { table, log } = this.#options;
    for (const { id, value } of table.all()) {
      try {
        const image = decodeImage(id, value);
        this.#images.set(image.id, image);
      } catch (error) {
        log.error("An image's record is damaged; the image must be pulled again", { id, error });
        await table.delete(id);
      }
    }
    if (rebuild) await this.#rebuild();
    await this.#undoUnfinished();
    await this.#collect();
    for (const image of this.#images.values()) {
      if (this.#isComplete(image)) continue;
      log.warn("An image lacks layers and is hidden until it is pulled again", { id: image.id });
    }
  }

  async #rebuild(): Promise<void> {
    const { directories, journal, log } = this.#options;
    for await (const found of directories.scan()) {
      switch (found.kind) {
        case "record":
          try {
            const image = decodeImage(found.record.id, found.record.value);
            if (this.#images.has(image.id)) continue;
            const payload = directories.payload(image.id);
            await journal.done(await journal.intend(image.id, IMAGE_DIRECTORY, payload), payload);
            await this.#put(image);
          } catch (error) {
            log.error("An image's record file is not usable", { id: found.record.id, error });
          }
          break;
        case "damaged":
          log.error("An image's record file was damaged and set aside", { ...found });
          break;
        case "skipped":
          log.error("An image's record file was not read", { ...found });
      }
    }
  }

  async #undoUnfinished(): Promise<void> {
    const { journal, steps, log } = this.#options;
    for (const owner of await journal.owners()) {
      if (this.#images.has(owner as ImageId)) continue;
      const resources = await journal.ofOwner(owner);
      if (!resources.some(({ kind }) => kind === IMAGE_DIRECTORY)) continue;
      try {
        await steps.undo("recover-image", owner, [IMAGE_DIRECTORY]);
      } catch (error) {
        log.error("A half-made image could not be removed; the next start tries again", {
          id: owner,
          error,
        });
      }
    }
  }

  async #removeImage(id: ImageId): Promise<void> {
    const image = this.#images.get(id);
    if (image === undefined) return;
    this.#checkUnused(id);
    const { steps, table } = this.#options;
    // At once: whoever looks from now on does not find it.
    this.#images.delete(id);
    try {
      await steps.commit("remove-image", "forget-image", () => table.delete(id));
    } catch (error) {
      this.#images.set(id, image);
      throw error;
    }
    await steps.undo("remove-image", id);
    await this.#collect();
  }

  #checkUnused(id: ImageId): void {
    const containers = this.#options.users.containersUsing(id);
    const [first] = containers;
    if (first !== undefined) {
      const more = containers.length > 1 ? ` and ${containers.length - 1} more` : "";
      throw new FailedPreconditionError(
        `Cannot remove the image ${id}: container ${first}${more} uses it`,
        { id, remedy: `remove container ${first} first` },
      );
    }
    if (this.#heldImages.has(id)) {
      throw new FailedPreconditionError(
        `Cannot remove the image ${id}: a container is being made from it`,
        { id, remedy: "try again" },
      );
    }
  }

  async #takeNameFromOthers(operation: string, name: string, owner: ImageId): Promise<void> {
    for (const other of [...this.#images.values()]) {
      if (other.id === owner || !other.names.includes(name)) continue;
      await this.#rename(operation, withoutName(other, name));
    }
  }

  /** The file first: of the two, the row is what a start reads. */
  async #rename(operation: string, after: StoredImage): Promise<void> {
    const { steps, directories } = this.#options;
    await directories.writeRecord(after);
    await steps.commit(operation, "rename-image", () => this.#put(after));
  }

  async #put(image: StoredImage): Promise<void> {
    await this.#options.table.put(image.id, encodeImage(image));
    this.#images.set(image.id, image);
  }

  async #collect(): Promise<void> {
    using _turn = await this.#durability.acquire();
    const { layers: store, users } = this.#options;
    const inUse = await users.layersInUse();
    const needed = new Set([...this.#heldLayers.keys(), ...inUse]);
    for (const { layers } of this.#images.values()) {
      for (const { chainId } of layers) needed.add(chainId);
    }
    await store.collect(needed);
  }

  #isComplete(image: StoredImage): boolean {
    return image.layers.every(({ chainId }) => this.#options.layers.get(chainId) !== undefined);
  }

  #record(image: StoredImage): ImageRecord {
    let layerBytes = 0n;
    for (const { chainId } of image.layers) {
      layerBytes += this.#options.layers.get(chainId)?.diskBytes ?? 0n;
    }
    const names = [...image.names, ...image.digests];
    return toRecord(image, { layerBytes, pinned: matchesPinned(names, this.#options.pinned()) });
  }
}

/** Counts up now and down when disposed, once. */
function held<K>(counts: Map<K, number>, keys: readonly K[]): Disposable {
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  let open = true;
  return {
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      for (const key of keys) {
        const left = (counts.get(key) ?? 1) - 1;
        if (left === 0) counts.delete(key);
        else counts.set(key, left);
      }
    },
  };
}
