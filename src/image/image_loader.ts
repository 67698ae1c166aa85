/**
 * Images from files: OCI layouts and docker archives, whole files compressed or not.
 *
 * @module
 */
import { createReadStream, createWriteStream } from "node:fs";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import {
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  ResourceExhaustedError,
  SauropodError,
} from "../errors/mod.ts";
import type { StepRunner } from "../state/mod.ts";
import type { LayerStore } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type ArchiveContents, indexTar, openFolder } from "./archive_contents.ts";
import {
  type ArchivedImage,
  archiveKind,
  compressionOf,
  dockerImages,
  ociImages,
} from "./archive_images.ts";
import type { ImageCatalog } from "./image_catalog.ts";
import { layersPlan, ProgressBoard, recordedLayer, wantedLayers } from "./image_layers.ts";
import { collectAfterFailure, imageIdOf } from "./image_puller.ts";
import type { ImageRecord, LoadRequest } from "./images.ts";
import type { Platform } from "./manifest.ts";
import { checkLoad, type Policy } from "./policy.ts";
import { type ImageReference, parseReference } from "./reference.ts";
import { digestOf } from "./registry_client.ts";

export interface ImageLoaderOptions {
  readonly catalog: ImageCatalog;
  readonly layers: LayerStore;
  readonly steps: StepRunner;
  readonly policy: () => Promise<Policy>;
  /** Its own: emptied at the start. */
  readonly temporaryDirectory: string;
  readonly platform: Platform;
  readonly log: Logger;
}

const OPERATION = "load-image";
/** What a compressed archive may unfold to. */
const MAX_UNFOLDED_BYTES = 256 * 2 ** 30;

export class ImageLoader {
  readonly #options: ImageLoaderOptions;

  constructor(options: ImageLoaderOptions) {
    this.#options = options;
  }

  /** Removes what a crash left while loading. */
  async recover(): Promise<void> {
    await removeTree(this.#options.temporaryDirectory);
  }

  /**
   * @throws {NotFoundError} no such file
   * @throws {InvalidArgumentError} not an archive of images, or a hostile one
   * @throws {PermissionDeniedError} the policy rejects it
   */
  async load(request: LoadRequest): Promise<readonly ImageRecord[]> {
    const given = request.reference === undefined
      ? undefined
      : parseReference(request.reference, "reference");
    if (given?.selector.kind === "digest") {
      throw new InvalidArgumentError("An image that is loaded is named by a tag, not a digest", {
        field: "reference",
        value: request.reference!,
      });
    }
    await using archive = await this.#open(request.path);
    const { contents } = archive;
    const { platform, policy } = this.#options;
    const kind = await archiveKind(contents, request.path);
    checkLoad(await policy(), kind, await Deno.realPath(request.path));
    const images = kind === "docker-archive"
      ? await dockerImages(contents, platform)
      : await ociImages(contents, platform);
    if (images.length === 0) {
      throw new InvalidArgumentError(`Cannot load ${request.path}: there is no image in it`, {
        path: request.path,
      });
    }
    const unnamed = images.filter(({ names }) => names.length === 0);
    if (given !== undefined && unnamed.length > 1) {
      throw new InvalidArgumentError(
        `Cannot name the images of ${request.path}: ${unnamed.length} of them have no name`,
        { field: "reference", value: String(given) },
      );
    }
    const records: ImageRecord[] = [];
    for (const image of images) records.push(await this.#loadImage(image, given));
    return records;
  }

  async #loadImage(image: ArchivedImage, given: ImageReference | undefined): Promise<ImageRecord> {
    const { catalog, layers, steps, log } = this.#options;
    const { manifest, manifestBytes, config, configBytes, digests, layerMembers } = image;
    const id = imageIdOf(manifest.config.digest);
    const wanted = wantedLayers(manifest.layers, config);
    const memberOf = new Map(wanted.map(({ chainId }, index) => [chainId, layerMembers[index]!]));
    const board = new ProgressBoard(new Set());
    try {
      using _held = await catalog.holdLayers(wanted.map(({ chainId }) => chainId));
      const plan = layersPlan(wanted, layers, board, async (layer, onProgress, signal) => {
        const source = { kind: "file" as const, ...memberOf.get(layer.chainId)! };
        await layers.apply({ ...layer, source, signal, onProgress });
      });
      await steps.run(OPERATION, id, plan, undefined);
      return await catalog.add(OPERATION, {
        image: {
          id,
          names: [],
          digests: [],
          manifestDigest: digestOf(manifestBytes),
          config,
          layers: wanted.map(recordedLayer),
          documentBytes: manifestBytes.length + configBytes.length,
        },
        documents: { manifest: manifestBytes, config: configBytes },
        names: image.names.length > 0 ? image.names : given === undefined ? [] : [given],
        digests,
      });
    } catch (error) {
      await collectAfterFailure(catalog, log);
      throw error;
    }
  }

  /** Disposing removes what was unfolded. */
  async #open(path: string): Promise<{ readonly contents: ArchiveContents } & AsyncDisposable> {
    const info = await stat(path);
    if (info.isDirectory) {
      return { contents: await openFolder(path), async [Symbol.asyncDispose]() {} };
    }
    if (!info.isFile) {
      throw new FailedPreconditionError(`Cannot load ${path}: it is neither file nor folder`, {
        path,
      });
    }
    const compression = await compressionOf({ path, offset: 0n, length: BigInt(info.size) });
    if (compression === "none") {
      return { contents: await indexTar(path), async [Symbol.asyncDispose]() {} };
    }
    const unfolded = await this.#unfold(path, compression);
    const remove = () => Deno.remove(unfolded);
    try {
      return { contents: await indexTar(unfolded), [Symbol.asyncDispose]: remove };
    } catch (error) {
      await remove();
      throw error;
    }
  }

  /** Layers are read at their offsets, which a compressed file has not. */
  async #unfold(path: string, compression: "gzip" | "zstd"): Promise<string> {
    const { temporaryDirectory } = this.#options;
    await Deno.mkdir(temporaryDirectory, { recursive: true, mode: 0o700 });
    const target = await Deno.makeTempFile({ dir: temporaryDirectory });
    let bytes = 0;
    const limit = new Transform({
      transform(chunk: Uint8Array, _encoding, done) {
        bytes += chunk.length;
        if (bytes <= MAX_UNFOLDED_BYTES) return done(null, chunk);
        done(
          new ResourceExhaustedError(
            `Cannot load ${path}: it unfolds to more than ${MAX_UNFOLDED_BYTES} bytes`,
            { path },
          ),
        );
      },
    });
    try {
      await pipeline(
        createReadStream(path, { highWaterMark: 1 << 20 }),
        compression === "gzip" ? createGunzip({ chunkSize: 1 << 20 }) : createZstdDecompress(),
        limit,
        createWriteStream(target, { highWaterMark: 1 << 20 }),
      );
      return target;
    } catch (error) {
      await Deno.remove(target);
      throw unfoldingError(error, path);
    }
  }
}

function unfoldingError(error: unknown, path: string): SauropodError {
  if (error instanceof SauropodError) return error;
  const code = (error as { readonly code?: unknown }).code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new ResourceExhaustedError(`Cannot load ${path}: the disk is full`, {
      path,
      cause: error,
    });
  }
  return new InvalidArgumentError(`Cannot load ${path}: it cannot be decompressed`, {
    path,
    cause: error,
  });
}

async function stat(path: string): Promise<Deno.FileInfo> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new NotFoundError(`Cannot load ${path}: there is no such file`, { path });
    }
    throw error;
  }
}

async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
