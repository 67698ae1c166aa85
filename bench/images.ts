/** The images that are pulled, made in code: the same bytes in every run. @module */
import {
  blob,
  buildImage,
  busyboxLayer,
  descriptor,
  jsonBlob,
  machineArchitecture,
  MEDIA_TYPES,
  sha256,
  tarOf,
  type TestBlob,
  type TestEntry,
} from "../tests/integration/test_images.ts";
import { gzipSync } from "node:zlib";
import type { TestRegistry } from "../tests/integration/registry.ts";

export interface BenchImages {
  /** Has a shell; containers run from it. */
  readonly shell: string;
  /** Its command waits for ever; the sandbox container of runtimes that need one. */
  readonly pause: string;
  /** 8 MB compressed in 3 layers. */
  readonly small: string;
  /** More than 1 GB and 50,000 files in 8 layers, if asked for. */
  readonly large: string | undefined;
}

const LARGE = { layers: 8, filesALayer: 7000, layerBytes: 160e6 };

export async function pushImages(registry: TestRegistry, large: boolean): Promise<BenchImages> {
  const name = (repository: string) => `${registry.address}/${repository}:1`;
  await registry.push(
    "shell",
    "1",
    buildImage({ layers: [busyboxLayer()], config: { Cmd: ["/bin/sh"], Env: ["PATH=/bin"] } }),
  );
  await registry.push("pause", "1", pauseImage());
  await registry.push(
    "small",
    "1",
    buildImage({
      layers: [1, 2, 3].map((layer) => files(`small${layer}`, 100, 3.6e6, layer)),
      config: { Cmd: ["/bin/sh"] },
    }),
  );
  if (large) await pushLarge(registry);
  return {
    shell: name("shell"),
    pause: name("pause"),
    small: name("small"),
    large: large ? name("large") : undefined,
  };
}

/** Catatonit does nothing but wait and reap; Debian's is one static file. */
function pauseImage(): ReturnType<typeof buildImage> {
  const content = Deno.readFileSync("/usr/bin/catatonit");
  return buildImage({
    layers: [[{ path: "pause", content, mode: 0o755 }]],
    config: { Entrypoint: ["/pause", "-P"] },
  });
}

/** One layer at a time: the whole would fill the memory. */
async function pushLarge(registry: TestRegistry): Promise<void> {
  const layers: TestBlob[] = [];
  const diffIds: string[] = [];
  for (let index = 0; index < LARGE.layers; index++) {
    const tar = tarOf(files(`large${index}`, LARGE.filesALayer, LARGE.layerBytes, 100 + index));
    diffIds.push(sha256(tar));
    const layer = blob(
      `${MEDIA_TYPES.ociLayer}+gzip`,
      new Uint8Array(gzipSync(tar, { level: 1 })),
    );
    await registry.putBlob("large", layer);
    layers.push({ ...layer, bytes: new Uint8Array() });
  }
  const config = jsonBlob(MEDIA_TYPES.ociConfig, {
    architecture: machineArchitecture(),
    os: "linux",
    config: { Cmd: ["/bin/sh"] },
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  await registry.putBlob("large", config);
  await registry.putManifest(
    "large",
    "1",
    jsonBlob(MEDIA_TYPES.ociManifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: descriptor(config),
      layers: layers.map(descriptor),
    }),
  );
}

/** Sizes as in ordinary images: most files small, one in 50 has half of all bytes. */
function files(folder: string, count: number, bytes: number, seed: number): TestEntry[] {
  const content = halfRandom(seed);
  const entries: TestEntry[] = [];
  for (let i = 0; i < count; i++) {
    const directory = `${folder}/d${Math.floor(i / 40)}`;
    if (i % 40 === 0) entries.push({ path: `${directory}/` });
    const length = Math.floor(bytes / 2 / count * (i % 50 === 7 ? 51 : 1));
    const start = (i * 7919) % content.length;
    entries.push({ path: `${directory}/file${i}`, content: repeated(content, start, length) });
  }
  return entries;
}

function repeated(content: Uint8Array, start: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0, from = start; at < length; from = 0) {
    const part = content.subarray(from, from + length - at);
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Four megabytes that compress to about three quarters, the same for the same seed. */
function halfRandom(seed: number): Uint8Array {
  const bytes = new Uint8Array(4 << 20);
  let state = seed * 2654435761 >>> 0;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = i % 4 === 0 ? 0x20 : state >>> 24;
  }
  return bytes;
}
