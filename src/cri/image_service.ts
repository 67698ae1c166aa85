/**
 * The ImageService: validates, calls the images' domain, answers.
 *
 * @module
 */
import type { ImageRecord, Images } from "../image/images.ts";
import type { Clock } from "../model/mod.ts";
import { type FilesystemUsage, Image, type ImageFilter } from "../proto/mod.ts";
import type { FileSystemUsage, Snapshots } from "../storage/snapshots.ts";
import { EncodedList } from "./encoded_list.ts";
import { checkLength } from "./field_checks.ts";
import { imageInfo, imageMessage } from "./image_message.ts";
import { LIMITS, STREAM_MESSAGE } from "./limits.ts";
import type { ImageMethods } from "./methods.ts";
import { pullCredentials } from "./pull_credentials.ts";
import { kubeletPullError } from "./pull_failure.ts";
import { validateImageSpec } from "./validate_references.ts";

export interface ImageServiceOptions {
  readonly images: Images;
  readonly snapshots: Pick<Snapshots, "usage">;
  readonly clock: Clock;
}

/** Number of the repeated field of both list answers. */
const IMAGES = 1;

export function imageMethods({ images, snapshots, clock }: ImageServiceOptions): ImageMethods {
  const encoded = new EncodedImages();
  const list = (filter: ImageFilter | undefined) =>
    new EncodedList(IMAGES, selected(images, filter).map((record) => encoded.of(record)));
  return {
    listImages: ({ filter }) => list(filter),
    streamImages: ({ filter }) => list(filter).chunks(STREAM_MESSAGE),
    imageStatus({ image, verbose }) {
      const record = images.find(validateImageSpec("image", image));
      if (record === undefined) return { image: undefined, info: {} };
      return { image: imageMessage(record), info: verbose ? imageInfo(record) : {} };
    },
    async pullImage({ image, auth, sandboxConfig }, { signal }) {
      const reference = validateImageSpec("image", image);
      const credentials = pullCredentials(auth);
      const namespace = sandboxConfig?.metadata?.namespace ?? "";
      checkLength("sandbox_config.metadata.namespace", namespace, LIMITS.name);
      try {
        const record = await images.pull({ reference, namespace, signal, ...credentials });
        return { imageRef: record.id };
      } catch (error) {
        throw kubeletPullError(error);
      }
    },
    async removeImage({ image }) {
      await images.remove(validateImageSpec("image", image));
      return {};
    },
    async imageFsInfo() {
      const usage = await snapshots.usage();
      return {
        imageFilesystems: [filesystemUsage(usage.images, clock)],
        containerFilesystems: [filesystemUsage(usage.containers, clock)],
      };
    },
  };
}

/** All images, or the one that the filter names. */
function selected(images: Images, filter: ImageFilter | undefined): readonly ImageRecord[] {
  if (filter?.image === undefined || filter.image.image === "") return images.all();
  const found = images.find(validateImageSpec("filter.image", filter.image));
  return found === undefined ? [] : [found];
}

function filesystemUsage(usage: FileSystemUsage, clock: Clock): FilesystemUsage {
  return {
    timestamp: clock.nowNs(),
    fsId: { mountpoint: usage.mountpoint },
    usedBytes: { value: usage.usedBytes },
    inodesUsed: { value: usage.inodesUsed },
  };
}

/** Records never change once made, so each is encoded once and forgotten with its record. */
class EncodedImages {
  readonly #bytes = new WeakMap<ImageRecord, Uint8Array>();

  of(record: ImageRecord): Uint8Array {
    const known = this.#bytes.get(record);
    if (known !== undefined) return known;
    const bytes = Image.encode(imageMessage(record)).finish();
    this.#bytes.set(record, bytes);
    return bytes;
  }
}
