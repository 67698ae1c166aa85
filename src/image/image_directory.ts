/**
 * The files of an image: `<root>/images/<id>/` with `manifest.json` and `config.json` exactly as they were
 * fetched, and `record.json` from which the database can be rebuilt.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import { type ImageId, type JsonObject, parseImageId } from "../model/mod.ts";
import {
  type DurableRecordTable,
  RecordFiles,
  type ResourceType,
  type ScannedRecord,
} from "../state/mod.ts";
import { encodeImage, type StoredImage } from "./stored_image.ts";

/** Kind of the journal's rows for these directories. */
export const IMAGE_DIRECTORY = "image-directory";

export class ImageDirectories {
  readonly #base: string;
  readonly #records: RecordFiles;

  /** @param root directory of the runtime's lasting state */
  constructor(root: string) {
    this.#base = `${root}/images`;
    this.#records = new RecordFiles({ directory: this.#base, kind: "image", durable: true });
  }

  payload(id: ImageId): JsonObject {
    return { id };
  }

  /** Makes the directory with the two documents; may be repeated. They last with the next record. */
  async writeDocuments(
    id: ImageId,
    documents: { readonly manifest: Uint8Array; readonly config: Uint8Array },
  ): Promise<void> {
    const directory = `${this.#base}/${id}`;
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    await writeSynced(`${directory}/manifest.json`, documents.manifest);
    await writeSynced(`${directory}/config.json`, documents.config);
  }

  async writeRecord(image: StoredImage): Promise<void> {
    await this.#records.write({ id: image.id, value: encodeImage(image), resources: [] });
  }

  scan(): AsyncGenerator<ScannedRecord> {
    return this.#records.scan();
  }

  /** The configuration as it was fetched; undefined if the file is gone. */
  async readConfig(id: ImageId): Promise<Uint8Array | undefined> {
    try {
      return await Deno.readFile(`${this.#base}/${id}/config.json`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Succeeds if there is none. */
  async remove(id: ImageId): Promise<void> {
    try {
      await Deno.remove(`${this.#base}/${id}`, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** How an image's directory is undone: it goes unless the image is in the record. */
export function imageDirectoryType(
  root: string,
  images: Pick<DurableRecordTable, "get">,
): ResourceType<ImageId> {
  const directories = new ImageDirectories(root);
  return {
    kind: IMAGE_DIRECTORY,
    parse(payload) {
      const { id } = payload;
      if (typeof id !== "string") throw new InternalError("The payload has no image id");
      return parseImageId(id);
    },
    async undo(id) {
      if (images.get(id) === undefined) await directories.remove(id);
    },
  };
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`;
  using file = await Deno.open(temporary, {
    write: true,
    create: true,
    truncate: true,
    mode: 0o600,
  });
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(await file.write(rest));
  await file.sync();
  await Deno.rename(temporary, path);
}
