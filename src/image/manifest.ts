/**
 * Manifests and indexes: OCI image specification 1.1 and Docker image manifest version 2, schema 2.
 *
 * @module
 */
import { FailedPreconditionError, InvalidArgumentError, shown } from "../errors/mod.ts";
import { type Digest, isDigest, parseDigest } from "../model/mod.ts";
import type { LayerCompression } from "../storage/layers.ts";
import { JsonShape } from "./json_shape.ts";
import {
  CONFIG_MEDIA_TYPES,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  isForeignLayer,
  LAYER_MEDIA_TYPES,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./media_types.ts";

/** More than overlay can stack, and than any image has. */
export const MAX_LAYERS = 512;
const MAX_INDEX_ENTRIES = 4096;
const MAX_MEDIA_TYPE = 256;
const MAX_PLATFORM_TEXT = 128;

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: bigint;
}

export interface LayerDescriptor extends Descriptor {
  readonly compression: LayerCompression;
}

export interface IndexEntry extends Descriptor {
  /** Undefined if the index does not say. */
  readonly platform: Platform | undefined;
  readonly annotations: ReadonlyMap<string, string>;
}

export interface ImageManifest {
  readonly kind: "image";
  readonly config: Descriptor;
  /** Bottom first. */
  readonly layers: readonly LayerDescriptor[];
}

export interface ImageIndex {
  readonly kind: "index";
  readonly entries: readonly IndexEntry[];
}

/**
 * Reads a manifest or index. The document's own `mediaType` decides, then the one that it came with,
 * then its members; a document whose type and members disagree is refused, so that the same bytes are
 * never two things.
 *
 * @param statedType `Content-Type`, or the type in the descriptor that led here; may be empty
 * @throws {InvalidArgumentError} malformed, ambiguous, or over a limit
 * @throws {FailedPreconditionError} an artifact, an old schema, or layers that cannot be had
 */
export function parseManifest(bytes: Uint8Array, statedType: string): ImageManifest | ImageIndex {
  const document = JsonShape.parse(bytes, "the image manifest");
  const version = document.integer("schemaVersion");
  if (version !== 2) {
    throw new FailedPreconditionError(
      `Cannot use the image manifest: its schema version is ${shown(version)}, not 2`,
      { remedy: "push the image again with a current tool" },
    );
  }
  const own = document.text("mediaType", MAX_MEDIA_TYPE);
  const isIndex = document.has("manifests");
  const isImage = document.has("config") || document.has("layers");
  if (isIndex && isImage) {
    throw new InvalidArgumentError("Cannot use the image manifest: it is image and index at once");
  }
  const sniffed = isIndex ? OCI_INDEX : isImage ? OCI_MANIFEST : "";
  const type = own !== "" ? own : kindOfType(statedType) !== undefined ? statedType : sniffed;
  const kind = kindOfType(type);
  if (kind === undefined) {
    throw new FailedPreconditionError(
      `Cannot use the image manifest: its media type ${
        shown(type || statedType)
      } is not an image's`,
    );
  }
  if ((kind === "index") !== isIndex || (kind === "image") !== isImage) {
    throw new InvalidArgumentError(
      `Cannot use the image manifest: its media type ${shown(type)} does not fit its members`,
    );
  }
  return kind === "index" ? parseIndex(document) : parseImage(document);
}

function kindOfType(type: string): "image" | "index" | undefined {
  switch (type) {
    case OCI_MANIFEST:
    case DOCKER_MANIFEST:
      return "image";
    case OCI_INDEX:
    case DOCKER_LIST:
      return "index";
    default:
      return undefined;
  }
}

function parseImage(document: JsonShape): ImageManifest {
  const artifactType = document.text("artifactType", MAX_MEDIA_TYPE);
  const configShape = document.object("config");
  if (configShape === undefined) throw document.malformed("config", "it is missing");
  const config = parseDescriptor(configShape);
  if (artifactType !== "" || !CONFIG_MEDIA_TYPES.has(config.mediaType)) {
    throw new FailedPreconditionError(
      `Cannot use the manifest as an image: it is an artifact of type ${
        shown(artifactType || config.mediaType)
      }`,
      { value: artifactType || config.mediaType, remedy: "name an image that can be run" },
    );
  }
  return {
    kind: "image",
    config,
    layers: document.objects("layers", MAX_LAYERS).map(parseLayer),
  };
}

function parseLayer(shape: JsonShape): LayerDescriptor {
  const descriptor = parseDescriptor(shape);
  if (isForeignLayer(descriptor.mediaType)) {
    throw new FailedPreconditionError(
      `Cannot use the image: its layer ${descriptor.digest} may not be distributed by registries`,
      { value: descriptor.mediaType, remedy: "push the image with its foreign layers" },
    );
  }
  const compression = LAYER_MEDIA_TYPES.get(descriptor.mediaType);
  if (compression === undefined) {
    throw new FailedPreconditionError(
      `Cannot use the image: its layer ${descriptor.digest} has the media type ${
        shown(descriptor.mediaType)
      }, which is not supported`,
      { value: descriptor.mediaType },
    );
  }
  return { ...descriptor, compression };
}

function parseIndex(document: JsonShape): ImageIndex {
  return {
    kind: "index",
    entries: document.objects("manifests", MAX_INDEX_ENTRIES).map((shape) => {
      const platform = shape.object("platform");
      return {
        ...parseDescriptor(shape),
        platform: platform === undefined ? undefined : {
          os: platform.text("os", MAX_PLATFORM_TEXT),
          architecture: platform.text("architecture", MAX_PLATFORM_TEXT),
          variant: platform.text("variant", MAX_PLATFORM_TEXT),
        },
        annotations: parseAnnotations(shape.object("annotations")),
      };
    }),
  };
}

const MAX_ANNOTATIONS = 256;
const MAX_ANNOTATION = 4096;

function parseAnnotations(shape: JsonShape | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  if (shape === undefined) return found;
  if (shape.keys.length > MAX_ANNOTATIONS) {
    throw shape.malformed("annotations", `there are more than ${MAX_ANNOTATIONS}`);
  }
  for (const key of shape.keys) found.set(key, shape.text(key, MAX_ANNOTATION));
  return found;
}

function parseDescriptor(shape: JsonShape): Descriptor {
  const digest = shape.text("digest", 256);
  if (!isDigest(digest)) throw shape.malformed("digest", `${shown(digest)} is not a digest`);
  const size = shape.integer("size");
  if (size === undefined || size < 0) throw shape.malformed("size", "it is not a size in bytes");
  return {
    mediaType: shape.text("mediaType", MAX_MEDIA_TYPE),
    digest: parseDigest(digest),
    size: BigInt(size),
  };
}

/**
 * The entry of an index that fits this machine: the exact variant, else the best that its processor
 * runs, in the order of the index. Attestations and other entries for platform `unknown` never fit.
 *
 * @throws {FailedPreconditionError} none fits; lists the platforms that there are
 */
export function choosePlatform(index: ImageIndex, machine: Platform): IndexEntry {
  const images = index.entries.filter((entry) =>
    kindOfType(entry.mediaType) !== undefined &&
    !entry.annotations.has("vnd.docker.reference.type")
  );
  let best: { readonly entry: IndexEntry; readonly rank: number } | undefined;
  for (const entry of images) {
    const rank = rankOf(entry.platform, machine);
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { entry, rank };
  }
  if (best !== undefined) return best.entry;
  // An index of one image without a platform means that image.
  const [only] = images;
  if (images.length === 1 && only !== undefined && only.platform === undefined) return only;
  const offered = images.map(({ platform }) => platformText(platform)).slice(0, 20).join(", ");
  throw new FailedPreconditionError(
    `The image is not built for ${platformText(machine)}: its index has ${offered || "no image"}`,
    { remedy: "use an image that is built for this machine" },
  );
}

export function platformText(platform: Platform | undefined): string {
  if (platform === undefined) return "no platform";
  const { os, architecture, variant } = platform;
  const text = [os, architecture, variant].filter((part) => part !== "").join("/");
  // Text of a stranger: control characters must not reach a terminal.
  return text.replaceAll(/[^\x20-\x7e]/g, "?");
}

/** How far an offered platform is from the wanted one; undefined if it does not run here. */
function rankOf(offered: Platform | undefined, machine: Platform): number | undefined {
  if (offered === undefined) return undefined;
  if (offered.os !== machine.os || offered.architecture !== machine.architecture) return undefined;
  const variants = runnableVariants(machine);
  const rank = variants.indexOf(offered.variant);
  return rank < 0 ? undefined : rank;
}

/** Variants that a processor runs, best first; the empty one is that of no statement. */
function runnableVariants({ architecture, variant }: Platform): readonly string[] {
  switch (architecture) {
    case "arm64":
      return ["v8", ""];
    case "arm": {
      const level = Number(variant.slice(1)) || 7;
      const levels = [8, 7, 6, 5].filter((candidate) => candidate <= level);
      return [...levels.map((candidate) => `v${candidate}`), ""];
    }
    case "amd64":
      // Without a look at the processor only the baseline is certain to run.
      return variant === "" || variant === "v1"
        ? ["", "v1"]
        : [variant, ...["v3", "v2", "v1"].filter((lower) => lower < variant), ""];
    default:
      return [variant, ""];
  }
}

/** This machine in the words of images. */
export function machinePlatform(): Platform {
  return Deno.build.arch === "aarch64"
    ? { os: "linux", architecture: "arm64", variant: "v8" }
    : { os: "linux", architecture: "amd64", variant: "" };
}
