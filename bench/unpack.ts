/**
 * How fast layers become files: a large image in eight gzip layers, served over loopback by another
 * process, unpacked by the workers, made durable, removed.
 *
 * ```
 * deno run -A bench/unpack.ts [--root DIR] [--megabytes 1450] [--entries 71000] [--rounds 3] [--unpackers 2]
 * ```
 * @module
 */
import { parseArgs } from "node:util";
import { createGzip } from "node:zlib";
import { createHash } from "node:crypto";
import type { ChainId, DiffId, Digest } from "../src/model/mod.ts";
import { DurableWriter } from "../src/state/durable_writer.ts";
import { ImageState } from "../src/state/image_records.ts";
import { JournalStepRunner, ResourceTypes, Undoer } from "../src/state/mod.ts";
import {
  createLayerStore,
  layerDirectoryType,
  LayerPaths,
  StorageWorkers,
  SYSTEM_TRUST,
} from "../src/storage/mod.ts";
import { entryBytes } from "../src/storage/testdata/tar_archive.ts";
import { silentLogger } from "../src/telemetry/mod.ts";

const { values: flags } = parseArgs({
  options: {
    root: { type: "string", default: "/var/lib" },
    megabytes: { type: "string", default: "1450" },
    entries: { type: "string", default: "71000" },
    rounds: { type: "string", default: "3" },
    unpackers: { type: "string", default: "2" },
    /** Internal: makes the layers in this directory and tells of them on standard output. */
    make: { type: "string" },
  },
});

const LAYERS = 8;

interface Layer {
  readonly path: string;
  readonly size: number;
  readonly blobDigest: Digest;
  readonly diffId: DiffId;
}

if (flags.make === undefined) await main();
else {
  const layers: Layer[] = [];
  for (let i = 0; i < LAYERS; i++) layers.push(await makeLayer(flags.make, i));
  console.log(JSON.stringify(layers));
}

async function main(): Promise<void> {
  const directory = await Deno.makeTempDir({ dir: flags.root, prefix: "unpack-bench-" });
  let server: Deno.ChildProcess | undefined;
  try {
    // In a process of its own, whose memory is not in the figures.
    const made = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", import.meta.url, "--make", directory, ...Deno.args],
      stderr: "inherit",
    }).output();
    const layers: Layer[] = JSON.parse(new TextDecoder().decode(made.stdout));
    const compressed = layers.reduce((sum, layer) => sum + layer.size, 0);
    console.log(`${LAYERS} layers, ${(compressed / 1e6).toFixed(0)} MB compressed`);
    const served = await serve(directory);
    server = served.child;
    for (let round = 1; round <= Number(flags.rounds); round++) {
      await measure(`${directory}/root-${round}`, layers, served.port);
    }
  } finally {
    server?.kill("SIGTERM");
    await server?.status;
    await Deno.remove(directory, { recursive: true });
  }
}

async function measure(root: string, layers: readonly Layer[], port: number): Promise<void> {
  await Deno.mkdir(root);
  const writer = new DurableWriter();
  const state = await ImageState.open({ path: `${root}/images.db`, bootId: "bench", writer });
  using workers = new StorageWorkers({ unpackers: Number(flags.unpackers) });
  await workers.start();
  const types = new ResourceTypes().register(layerDirectoryType(new LayerPaths(root), workers));
  const { journal } = state;
  const store = await createLayerStore({
    root,
    layers: state.layers,
    journal,
    steps: new JournalStepRunner({
      journal,
      undoer: new Undoer({ journal, types, bootId: "bench" }),
    }),
    workers,
    bootId: "bench",
    rebuild: false,
    log: silentLogger,
    whiteouts: "overlay",
  });
  // The peak of this round alone.
  await Deno.writeTextFile("/proc/self/clear_refs", "5");
  const timings: string[] = [];
  const timed = async (what: string, act: () => Promise<unknown>) => {
    const began = performance.now();
    await act();
    timings.push(`${what} ${((performance.now() - began) / 1000).toFixed(2)} s`);
  };
  await timed("unpacked in", () =>
    Promise.all(layers.map((layer, index) =>
      store.apply({
        chainId: layer.diffId as unknown as ChainId,
        diffId: layer.diffId,
        parent: null,
        blobDigest: layer.blobDigest,
        blobSize: BigInt(layer.size),
        compression: "gzip",
        source: {
          kind: "http",
          places: {
            next: () => {
              const url = `http://127.0.0.1:${port}/${index}`;
              return Promise.resolve({ url, headers: {}, tls: SYSTEM_TRUST });
            },
          },
        },
        signal: new AbortController().signal,
      })
    )));
  const total = store.total();
  await timed("durable in", () => store.makeDurable(store.all().map(({ chainId }) => chainId)));
  await timed("removed in", () => store.collect(new Set()));
  const status = await Deno.readTextFile("/proc/self/status");
  const peak = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  console.log(
    `${timings.join(", ")}; ${total.inodes} inodes, ` +
      `${(Number(total.bytes) / 1e6).toFixed(0)} MB on disk, peak resident ${peak.toFixed(0)} MB`,
  );
  await writer[Symbol.asyncDispose]();
}

/** Files of sizes as in ordinary images: most small, a few large; text-like content. */
async function makeLayer(directory: string, index: number): Promise<Layer> {
  const entries = Math.floor(Number(flags.entries) / LAYERS);
  const bytes = Number(flags.megabytes) * 1e6 / LAYERS;
  const path = `${directory}/blob-${index}`;
  const [diff, blob] = [createHash("sha256"), createHash("sha256")];
  const gzip = createGzip({ level: 6, chunkSize: 1 << 20 });
  using file = await Deno.open(path, { write: true, create: true });
  let size = 0;
  gzip.on("data", (chunk: Uint8Array) => {
    blob.update(chunk);
    size += chunk.length;
    file.writeSync(chunk);
  });
  const words = textLike();
  const write = (part: Uint8Array) =>
    new Promise<void>((resolve) => {
      diff.update(part);
      gzip.write(part, () => resolve());
    });
  let batch: Uint8Array[] = [];
  for (let i = 0; i < entries; i++) {
    const directoryName = `layer${index}/d${Math.floor(i / 40)}`;
    // One file in 50 has half of all bytes.
    const length = Math.floor(
      i % 50 === 7 ? bytes * 0.5 / (entries / 50) : bytes * 0.5 / entries,
    );
    const start = (i * 7919) % (words.length - 1);
    const content = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const part = words.subarray(at === 0 ? start : 0, (at === 0 ? start : 0) + length - at);
      content.set(part, at);
      at += part.length;
    }
    batch.push(
      i % 40 === 0
        ? entryBytes({ path: `${directoryName}/`, type: "5" })
        : entryBytes({ path: `${directoryName}/file${i}`, content, mode: 0o644 }),
    );
    if (batch.length === 100 || length > 1e5) {
      for (const part of batch) await write(part);
      batch = [];
    }
  }
  for (const part of batch) await write(part);
  await write(new Uint8Array(1024));
  await new Promise((resolve) => gzip.on("end", resolve).end());
  return {
    path,
    size,
    blobDigest: `sha256:${blob.digest("hex")}` as Digest,
    diffId: `sha256:${diff.digest("hex")}` as DiffId,
  };
}

/** A megabyte that compresses about 3:1. */
function textLike(): Uint8Array {
  const random = crypto.getRandomValues(new Uint8Array(65536));
  const bytes = new Uint8Array(1 << 20);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = i % 3 === 0 ? (random[(i * 31) % 65536] ?? 0) & 0x3f : 0x61 + (i >> 3) % 7;
  }
  return bytes;
}

async function serve(directory: string): Promise<{ child: Deno.ChildProcess; port: number }> {
  const code =
    `const s = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: ({ port }) => console.log(port) },
    async (r) => new Response((await Deno.open(${
      JSON.stringify(directory)
    } + "/blob-" + new URL(r.url).pathname.slice(1))).readable));
    Deno.addSignalListener("SIGTERM", () => Deno.exit(0)); await s.finished;`;
  await Deno.writeTextFile(`${directory}/serve.ts`, code);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${directory}/serve.ts`],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  await child.stdout.cancel();
  return { child, port: Number(new TextDecoder().decode(value)) };
}
