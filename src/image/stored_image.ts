/**
 * What is kept of an image, in the database and in its record file, and how its names change.
 *
 * @module
 */
import { InternalError } from "../errors/mod.ts";
import {
  type ChainId,
  type DiffId,
  type Digest,
  type ImageId,
  isDigest,
  type JsonObject,
  parseImageId,
} from "../model/mod.ts";
import type { ImageConfig, ImageRecord } from "./images.ts";
import { JsonShape } from "./json_shape.ts";
import type { ImageReference } from "./reference.ts";

/** Chain ID, and what is needed to fetch that layer alone again. */
export interface ImageLayer {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly blobDigest: Digest;
  readonly blobSize: bigint;
}

export interface StoredImage {
  readonly id: ImageId;
  /** References under which it was asked for: `repository:tag`, or `repository@digest`. Sorted. */
  readonly names: readonly string[];
  /** Every `repository@digest` that a registry gave it by. Sorted. */
  readonly digests: readonly string[];
  readonly manifestDigest: Digest;
  readonly config: ImageConfig;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
  /** Bytes of manifest and configuration. */
  readonly documentBytes: number;
}

/** Adds a name, and the digests under which its repository has the image. */
export function withName(
  image: StoredImage,
  name: ImageReference,
  digests: readonly Digest[],
): StoredImage {
  const found = digests.map((digest) => String(name.withDigest(digest)));
  return {
    ...image,
    names: sorted([...image.names, String(name)]),
    digests: sorted([...image.digests, ...found]),
  };
}

/** Takes a name away; its digests stay, so that the image can still be told. */
export function withoutName(image: StoredImage, name: string): StoredImage {
  return { ...image, names: image.names.filter((other) => other !== name) };
}

/** What others see. @param layerBytes bytes of all its layers on disk */
export function toRecord(
  image: StoredImage,
  seen: { readonly layerBytes: bigint; readonly pinned: boolean },
): ImageRecord {
  const repositories = new Set(image.names.map(repositoryOf));
  const current = image.digests.filter((digest) => repositories.has(repositoryOf(digest)));
  return {
    id: image.id,
    repoTags: image.names.filter((name) => !name.includes("@")),
    // Without a name the digests say where it came from.
    repoDigests: image.names.length === 0 ? image.digests : current,
    config: image.config,
    manifestDigest: image.manifestDigest,
    top: image.layers.at(-1)?.chainId ?? null,
    layers: image.layers.map(({ chainId }) => chainId),
    sizeBytes: seen.layerBytes + BigInt(image.documentBytes),
    pinned: seen.pinned,
  };
}

/** `quay.io/a/b` of `quay.io/a/b:tag` or `quay.io/a/b@sha256:...`. */
export function repositoryOf(name: string): string {
  const at = name.indexOf("@");
  if (at >= 0) return name.slice(0, at);
  return name.slice(0, name.lastIndexOf(":"));
}

function sorted(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort();
}

const VERSION = 1;
const MANY = 1_000_000;

export function encodeImage(image: StoredImage): JsonObject {
  return {
    version: VERSION,
    id: image.id,
    names: image.names,
    digests: image.digests,
    manifestDigest: image.manifestDigest,
    config: { ...image.config },
    layers: image.layers.map((layer) => ({ ...layer, blobSize: String(layer.blobSize) })),
    documentBytes: image.documentBytes,
  };
}

/** @throws {InternalError} the value is not an image's */
export function decodeImage(id: string, value: JsonObject): StoredImage {
  try {
    const shape = JsonShape.of(value, `the record of image ${id}`);
    if (shape.integer("version") !== VERSION) throw shape.malformed("version", "it is not 1");
    if (shape.text("id", 64) !== id) throw shape.malformed("id", "it is another image's");
    const config = shape.object("config");
    if (config === undefined) throw shape.malformed("config", "it is missing");
    return {
      id: parseImageId(id),
      names: shape.texts("names", MANY, MANY),
      digests: shape.texts("digests", MANY, MANY),
      manifestDigest: digestAt(shape, "manifestDigest"),
      config: decodeConfig(config),
      layers: shape.objects("layers", MANY).map((layer) => ({
        chainId: digestAt(layer, "chainId") as ChainId,
        diffId: digestAt(layer, "diffId") as DiffId,
        blobDigest: digestAt(layer, "blobDigest"),
        blobSize: BigInt(layer.text("blobSize", 20)),
      })),
      documentBytes: shape.integer("documentBytes") ?? 0,
    };
  } catch (error) {
    throw new InternalError(`The record of image ${id} is damaged`, { id, cause: error });
  }
}

function decodeConfig(shape: JsonShape): ImageConfig {
  const labels = shape.object("labels");
  const text = (key: string) => shape.text(key, MANY);
  const texts = (key: string) => shape.texts(key, MANY, MANY);
  return {
    architecture: text("architecture"),
    os: text("os"),
    user: text("user"),
    env: texts("env"),
    entrypoint: texts("entrypoint"),
    cmd: texts("cmd"),
    workingDir: text("workingDir"),
    labels: Object.fromEntries((labels?.keys ?? []).map((key) => [key, labels!.text(key, MANY)])),
    volumes: texts("volumes"),
    exposedPorts: texts("exposedPorts"),
    stopSignal: text("stopSignal"),
    diffIds: texts("diffIds") as readonly DiffId[],
    created: text("created"),
  };
}

function digestAt(shape: JsonShape, key: string): Digest {
  const text = shape.text(key, 256);
  if (!isDigest(text)) throw shape.malformed(key, "it is not a digest");
  return text as Digest;
}
