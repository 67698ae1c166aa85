/**
 * Small real images for tests: built in memory from files and Debian's busybox-static, in every
 * form that the runtime must understand, written to a registry, an OCI layout or an archive.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";

export const MEDIA_TYPES = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerPlainLayer: "application/vnd.docker.image.rootfs.diff.tar",
} as const;

/** One entry of a layer; the path is relative, directories end in a slash. */
export interface TestEntry {
  readonly path: string;
  readonly content?: string | Uint8Array;
  /** Target: the entry is a symbolic link. */
  readonly link?: string;
  readonly fifo?: boolean;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface TestImageSpec {
  readonly format?: "oci" | "docker";
  readonly compression?: "gzip" | "zstd" | "none";
  /** Bottom first. */
  readonly layers: readonly (readonly TestEntry[])[];
  /** Members of the configuration's `config` object. */
  readonly config?: Record<string, unknown>;
  readonly architecture?: string;
  readonly variant?: string;
  readonly os?: string;
}

export interface TestBlob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly bytes: Uint8Array;
}

export interface TestImage {
  readonly manifest: TestBlob;
  readonly config: TestBlob;
  readonly layers: readonly TestBlob[];
  readonly diffIds: readonly string[];
  /** The image's id: hexadecimal digest of its configuration. */
  readonly id: string;
  readonly platform: {
    readonly architecture: string;
    readonly os: string;
    readonly variant?: string;
  };
}

export interface TestIndex {
  readonly manifest: TestBlob;
  readonly images: readonly TestImage[];
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The architecture of this machine in the words of OCI images. */
export function machineArchitecture(): string {
  return Deno.build.arch === "aarch64" ? "arm64" : "amd64";
}

/** A layer with busybox and links for the usual applets. */
export function busyboxLayer(): TestEntry[] {
  const applets = (
    "sh ls cat echo sleep id env true false ps kill wc head tail dd touch mkdir rm ln hostname " +
    "ip mount grep stat test seq yes nc date sync printf tr sort cut awk sed find nslookup wget"
  ).split(" ");
  return [
    { path: "bin/" },
    { path: "bin/busybox", content: Deno.readFileSync("/bin/busybox"), mode: 0o755 },
    ...applets.map((name) => ({ path: `bin/${name}`, link: "busybox" })),
    { path: "etc/" },
    {
      path: "etc/passwd",
      content: "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n",
    },
    { path: "etc/group", content: "root:x:0:\nuser:x:1000:\n" },
    { path: "root/", mode: 0o700 },
    { path: "tmp/", mode: 0o1777 },
    { path: "proc/" },
    { path: "sys/" },
    { path: "dev/" },
    { path: "run/" },
  ];
}

/** A busybox image with a shell as its command: what most tests want. */
export function busyboxImage(overrides: Partial<TestImageSpec> = {}): TestImage {
  return buildImage({
    layers: [busyboxLayer()],
    config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"] },
    ...overrides,
  });
}

export function buildImage(spec: TestImageSpec): TestImage {
  const format = spec.format ?? "oci";
  const compression = spec.compression ?? "gzip";
  const platform = {
    architecture: spec.architecture ?? machineArchitecture(),
    os: spec.os ?? "linux",
    ...(spec.variant === undefined ? {} : { variant: spec.variant }),
  };
  const tars = spec.layers.map(tarOf);
  const diffIds = tars.map(sha256);
  const layers = tars.map((tar) =>
    blob(layerMediaType(format, compression), compress(tar, compression))
  );
  const config = jsonBlob(
    format === "oci" ? MEDIA_TYPES.ociConfig : MEDIA_TYPES.dockerConfig,
    {
      created: "2026-01-02T03:04:05.678Z",
      ...platform,
      config: spec.config ?? {},
      rootfs: { type: "layers", diff_ids: diffIds },
      history: tars.map(() => ({ created: "2026-01-02T03:04:05.678Z", created_by: "test" })),
    },
  );
  const manifestType = format === "oci" ? MEDIA_TYPES.ociManifest : MEDIA_TYPES.dockerManifest;
  const manifest = jsonBlob(manifestType, {
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor(config),
    layers: layers.map(descriptor),
  });
  return { manifest, config, layers, diffIds, id: config.digest.slice(7), platform };
}

/** An OCI index or Docker manifest list of images. */
export function buildIndex(
  images: readonly TestImage[],
  format: "oci" | "docker" = "oci",
): TestIndex {
  const type = format === "oci" ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.dockerList;
  const manifest = jsonBlob(type, {
    schemaVersion: 2,
    mediaType: type,
    manifests: images.map((image) => ({ ...descriptor(image.manifest), platform: image.platform })),
  });
  return { manifest, images };
}

export function descriptor(of: TestBlob): { mediaType: string; digest: string; size: number } {
  return { mediaType: of.mediaType, digest: of.digest, size: of.size };
}

export function blob(mediaType: string, bytes: Uint8Array): TestBlob {
  return { mediaType, digest: sha256(bytes), size: bytes.length, bytes };
}

export function jsonBlob(mediaType: string, value: unknown): TestBlob {
  return blob(mediaType, new TextEncoder().encode(JSON.stringify(value)));
}

/** Writes an OCI layout; `names` become `org.opencontainers.image.ref.name`. */
export async function writeOciLayout(
  directory: string,
  images: readonly { readonly image: TestImage | TestIndex; readonly name?: string }[],
): Promise<void> {
  await Deno.mkdir(`${directory}/blobs/sha256`, { recursive: true });
  const put = (of: TestBlob) =>
    Deno.writeFile(`${directory}/blobs/sha256/${of.digest.slice(7)}`, of.bytes);
  for (const { image } of images) {
    await put(image.manifest);
    for (const one of "images" in image ? image.images : [image]) {
      await put(one.manifest);
      await put(one.config);
      for (const layer of one.layers) await put(layer);
    }
  }
  await Deno.writeTextFile(`${directory}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  await Deno.writeTextFile(
    `${directory}/index.json`,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: images.map(({ image, name }) => ({
        ...descriptor(image.manifest),
        ...(name === undefined
          ? {}
          : { annotations: { "org.opencontainers.image.ref.name": name } }),
      })),
    }),
  );
}

/** An archive as `docker save` writes it. */
export function dockerArchive(
  images: readonly { readonly image: TestImage; readonly tags: readonly string[] }[],
): Uint8Array {
  const entries = new Map<string, TestEntry>();
  const manifest = images.map(({ image, tags }) => {
    const config = `${image.id}.json`;
    entries.set(config, { path: config, content: image.config.bytes });
    const layers = image.layers.map((layer) => {
      const path = `${layer.digest.slice(7)}/layer.tar`;
      entries.set(path, { path, content: layer.bytes });
      return path;
    });
    return { Config: config, RepoTags: tags, Layers: layers };
  });
  return tarOf([
    ...entries.values(),
    { path: "manifest.json", content: JSON.stringify(manifest) },
  ]);
}

function layerMediaType(format: "oci" | "docker", compression: "gzip" | "zstd" | "none"): string {
  if (format === "oci") {
    return compression === "none" ? MEDIA_TYPES.ociLayer : `${MEDIA_TYPES.ociLayer}+${compression}`;
  }
  switch (compression) {
    case "gzip":
      return MEDIA_TYPES.dockerLayer;
    case "none":
      return MEDIA_TYPES.dockerPlainLayer;
    case "zstd":
      return `${MEDIA_TYPES.dockerPlainLayer}.zstd`;
  }
}

function compress(bytes: Uint8Array, compression: "gzip" | "zstd" | "none"): Uint8Array {
  switch (compression) {
    case "gzip":
      return new Uint8Array(gzipSync(bytes, { level: 1 }));
    case "zstd":
      return new Uint8Array(zstdCompressSync(bytes));
    case "none":
      return bytes;
  }
}

/** A ustar archive of the entries, with fixed times. */
export function tarOf(entries: readonly TestEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    const content = typeof entry.content === "string"
      ? new TextEncoder().encode(entry.content)
      : entry.content ?? new Uint8Array();
    parts.push(tarHeader(entry, content.length), content);
    parts.push(new Uint8Array((512 - content.length % 512) % 512));
  }
  parts.push(new Uint8Array(1024));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function tarHeader(entry: TestEntry, size: number): Uint8Array {
  const header = new Uint8Array(512);
  const text = new TextEncoder();
  const put = (offset: number, value: string) => header.set(text.encode(value), offset);
  const octal = (offset: number, width: number, value: number) =>
    put(offset, value.toString(8).padStart(width - 1, "0"));
  const directory = entry.path.endsWith("/");
  if (entry.path.length > 100) throw new Error(`test entry ${entry.path} has too long a name`);
  put(0, entry.path);
  octal(100, 8, entry.mode ?? (directory ? 0o755 : 0o644));
  octal(108, 8, entry.uid ?? 0);
  octal(116, 8, entry.gid ?? 0);
  octal(124, 12, size);
  octal(136, 12, 1_767_323_045);
  put(148, "        ");
  put(156, entry.link !== undefined ? "2" : entry.fifo ? "6" : directory ? "5" : "0");
  if (entry.link !== undefined) put(157, entry.link);
  put(257, "ustar\0" + "00");
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return header;
}
