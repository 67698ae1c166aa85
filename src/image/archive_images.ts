/**
 * Which images an archive holds: OCI layouts (image-layout.md of the OCI image specification) and what
 * `docker save` writes.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import type { Digest } from "../model/mod.ts";
import type { LayerCompression } from "../storage/layers.ts";
import { type ArchiveContents, type Member, memberChunks, readMember } from "./archive_contents.ts";
import { parseImageConfig } from "./image_config.ts";
import type { ImageConfig } from "./images.ts";
import { JsonShape } from "./json_shape.ts";
import {
  choosePlatform,
  type Descriptor,
  type ImageManifest,
  type IndexEntry,
  MAX_LAYERS,
  parseManifest,
  type Platform,
} from "./manifest.ts";
import { DOCKER_MANIFEST } from "./media_types.ts";
import { type ImageReference, parseReference } from "./reference.ts";
import { digestOf, hasDigest, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES } from "./registry_client.ts";

/** An image of an archive, with everything but its layers read and checked. */
export interface ArchivedImage {
  readonly names: readonly ImageReference[];
  /** Digests by which its names have it. */
  readonly digests: readonly Digest[];
  readonly manifestBytes: Uint8Array;
  readonly manifest: ImageManifest;
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
  /** Where each layer of the manifest is, bottom first. */
  readonly layerMembers: readonly Member[];
}

export type ArchiveKind = "oci" | "oci-archive" | "docker-archive";

/** The kind by its marker files. @throws {InvalidArgumentError} neither */
export async function archiveKind(contents: ArchiveContents, path: string): Promise<ArchiveKind> {
  if (await contents.find("oci-layout") !== undefined) {
    return contents.isFolder ? "oci" : "oci-archive";
  }
  if (await contents.find("manifest.json") !== undefined) return "docker-archive";
  throw new InvalidArgumentError(
    `Cannot load ${path}: it is neither an OCI layout nor what docker save writes`,
    { path, remedy: "make it with skopeo copy, docker save or podman save" },
  );
}

const MAX_INDEX_DEPTH = 4;
const MAX_IMAGES = 1000;
const MAX_NAME = 512;

/** The images of an OCI layout that run on the platform, one for each name. */
export async function ociImages(
  contents: ArchiveContents,
  platform: Platform,
): Promise<readonly ArchivedImage[]> {
  const bytes = await namedMember(contents, "index.json", MAX_MANIFEST_BYTES);
  const index = parseManifest(bytes, "application/vnd.oci.image.index.v1+json");
  if (index.kind !== "index") {
    throw new InvalidArgumentError("Cannot load the archive: its index.json is not an index");
  }
  const groups = new Map<string, IndexEntry[]>();
  for (const entry of index.entries) {
    if (entry.annotations.has("vnd.docker.reference.type")) continue;
    const name = nameOf(entry);
    groups.set(name, [...groups.get(name) ?? [], entry]);
  }
  const images: ArchivedImage[] = [];
  for (const [name, entries] of groups) {
    const perPlatform = entries.length > 1 &&
      entries.every((entry) => entry.platform !== undefined);
    const chosen = perPlatform ? [choosePlatform({ kind: "index", entries }, platform)] : entries;
    for (const entry of chosen) images.push(await ociImage(contents, entry, name, platform));
    if (images.length > MAX_IMAGES) {
      throw new InvalidArgumentError(`Cannot load the archive: it has over ${MAX_IMAGES} images`);
    }
  }
  return images;
}

/** The full name that a writer notes; a bare tag names nothing by itself. */
function nameOf({ annotations }: IndexEntry): string {
  const full = annotations.get("io.containerd.image.name");
  if (full !== undefined) return full;
  const name = annotations.get("org.opencontainers.image.ref.name") ?? "";
  return /[/:]/.test(name) ? name : "";
}

async function ociImage(
  contents: ArchiveContents,
  entry: IndexEntry,
  name: string,
  platform: Platform,
): Promise<ArchivedImage> {
  const digests: Digest[] = [entry.digest];
  let manifestBytes = await blob(contents, entry, MAX_MANIFEST_BYTES);
  let manifest = parseManifest(manifestBytes, entry.mediaType);
  for (let depth = 1; manifest.kind === "index"; depth++) {
    if (depth > MAX_INDEX_DEPTH) {
      throw new InvalidArgumentError(
        `Cannot load the archive: its index is nested deeper than ${MAX_INDEX_DEPTH}`,
      );
    }
    const chosen = choosePlatform(manifest, platform);
    digests.push(chosen.digest);
    manifestBytes = await blob(contents, chosen, MAX_MANIFEST_BYTES);
    manifest = parseManifest(manifestBytes, chosen.mediaType);
  }
  const configBytes = await blob(contents, manifest.config, MAX_CONFIG_BYTES);
  const layerMembers: Member[] = [];
  for (const layer of manifest.layers) layerMembers.push(await blobMember(contents, layer));
  return {
    names: name === "" ? [] : [archivedName(name)],
    digests: [...new Set([digests[0]!, digests.at(-1)!])],
    manifestBytes,
    manifest,
    configBytes,
    config: parseImageConfig(configBytes, platform),
    layerMembers,
  };
}

async function blob(
  contents: ArchiveContents,
  descriptor: Descriptor,
  limitBytes: number,
): Promise<Uint8Array> {
  const member = await blobMember(contents, descriptor);
  const bytes = await readMember(member, limitBytes, `the blob ${descriptor.digest}`);
  if (!hasDigest(bytes, descriptor.digest)) {
    throw new InvalidArgumentError(
      `Cannot load the archive: its blob ${descriptor.digest} has the digest ${digestOf(bytes)}`,
    );
  }
  return bytes;
}

async function blobMember(contents: ArchiveContents, { digest }: Descriptor): Promise<Member> {
  const member = await contents.find(`blobs/${digest.replace(":", "/")}`);
  if (member === undefined) {
    throw new InvalidArgumentError(`Cannot load the archive: it lacks the blob ${digest}`);
  }
  return member;
}

/** The images of what `docker save` writes. Its layers are plain tars, or compressed by newer writers. */
export async function dockerImages(
  contents: ArchiveContents,
  platform: Platform,
): Promise<readonly ArchivedImage[]> {
  const bytes = await namedMember(contents, "manifest.json", MAX_MANIFEST_BYTES);
  const list = JsonShape.parse(
    new TextEncoder().encode(`{"images":${new TextDecoder().decode(bytes)}}`),
    "the archive's manifest.json",
  );
  const images: ArchivedImage[] = [];
  for (const entry of list.objects("images", MAX_IMAGES)) {
    images.push(await dockerImage(contents, entry, platform));
  }
  return images;
}

async function dockerImage(
  contents: ArchiveContents,
  entry: JsonShape,
  platform: Platform,
): Promise<ArchivedImage> {
  const configBytes = await namedMember(contents, entry.text("Config", 4096), MAX_CONFIG_BYTES);
  const config = parseImageConfig(configBytes, platform);
  const layerMembers: Member[] = [];
  const layers = [];
  for (const [index, name] of entry.texts("Layers", MAX_LAYERS, 4096).entries()) {
    const member = await contents.find(name);
    if (member === undefined) {
      throw new InvalidArgumentError(`Cannot load the archive: it lacks the layer ${shown(name)}`);
    }
    layerMembers.push(member);
    const compression = await compressionOf(member);
    // A plain layer is named by its diff ID, which spares reading it twice.
    const digest = compression === "none" && config.diffIds[index] !== undefined
      ? config.diffIds[index] as Digest
      : await digestOfMember(member);
    layers.push({ mediaType: DOCKER_LAYER[compression], digest, size: Number(member.length) });
  }
  const manifestBytes = new TextEncoder().encode(JSON.stringify({
    schemaVersion: 2,
    mediaType: DOCKER_MANIFEST,
    config: {
      mediaType: "application/vnd.docker.container.image.v1+json",
      digest: digestOf(configBytes),
      size: configBytes.length,
    },
    layers,
  }));
  const manifest = parseManifest(manifestBytes, DOCKER_MANIFEST);
  if (manifest.kind !== "image") throw new InvalidArgumentError("The manifest is not an image's");
  return {
    names: entry.texts("RepoTags", MAX_IMAGES, MAX_NAME).map(archivedName),
    digests: [digestOf(manifestBytes)],
    manifestBytes,
    manifest,
    configBytes,
    config,
    layerMembers,
  };
}

const DOCKER_LAYER: Readonly<Record<LayerCompression, string>> = {
  none: "application/vnd.docker.image.rootfs.diff.tar",
  gzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  zstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
};

/** By the first bytes of the data: such archives state no media types. */
export async function compressionOf(member: Member): Promise<LayerCompression> {
  const head = { ...member, length: member.length < 4n ? member.length : 4n };
  const [a, b, c, d] = await readMember(head, 4, member.path);
  if (a === 0x1f && b === 0x8b) return "gzip";
  return a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd ? "zstd" : "none";
}

async function digestOfMember(member: Member): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const chunk of memberChunks(member)) hash.update(chunk);
  return `sha256:${hash.digest("hex")}` as Digest;
}

async function namedMember(
  contents: ArchiveContents,
  name: string,
  limitBytes: number,
): Promise<Uint8Array> {
  const member = await contents.find(name);
  if (member === undefined) {
    throw new InvalidArgumentError(`Cannot load the archive: it lacks ${shown(name)}`);
  }
  return await readMember(member, limitBytes, shown(name));
}

/** Archives give tags; a digest in a name would claim what nobody checked. */
function archivedName(text: string): ImageReference {
  const reference = parseReference(text, "archive name");
  if (reference.selector.kind === "tag") return reference;
  throw new InvalidArgumentError(
    `Cannot load the archive: it names an image ${shown(text)}, by a digest instead of a tag`,
  );
}
