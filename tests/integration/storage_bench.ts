/**
 * A storage of its own for a test: real record, real workers, real mounts below a temporary directory.
 *
 * @module
 */
import { parseDigest } from "../../src/model/mod.ts";
import type { ChainId, DiffId } from "../../src/model/mod.ts";
import { DurableWriter } from "../../src/state/durable_writer.ts";
import { ImageState } from "../../src/state/image_records.ts";
import { JournalStepRunner, ResourceTypes, Undoer } from "../../src/state/mod.ts";
import { createLinuxKernel } from "../../src/sys/linux.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import {
  createLayerStore,
  DEFAULT_UNPACK_LIMITS,
  type LayerApplication,
  type LayerCompression,
  layerDirectoryType,
  LayerPaths,
  type LayerStack,
  type LayerStore,
  type Snapshots,
  storageDriver,
  StorageWorkers,
  type UnpackLimits,
} from "../../src/storage/mod.ts";
import { sha256 } from "../../src/storage/testdata/tar_archive.ts";

export interface StorageBenchOptions {
  readonly bootId?: string;
  readonly limits?: Partial<UnpackLimits>;
  /** Where its directory is made; the system's temporary one by default. */
  readonly parent?: string;
  /** Another bench's directory, whose store is opened again. */
  readonly directory?: string;
  /** `overlay` by default. */
  readonly driver?: "overlay" | "vfs";
}

export class StorageBench implements AsyncDisposable {
  readonly kernel = createLinuxKernel();

  private constructor(
    readonly directory: string,
    readonly root: string,
    readonly state: ImageState,
    readonly workers: StorageWorkers,
    readonly store: LayerStore & LayerStack,
    readonly snapshots: Snapshots,
    private readonly writer: DurableWriter,
  ) {}

  static async open(options: StorageBenchOptions = {}): Promise<StorageBench> {
    const directory = options.directory ??
      await Deno.makeTempDir({
        prefix: "storage-",
        ...(options.parent === undefined ? {} : { dir: options.parent }),
      });
    const root = `${directory}/root`;
    await Deno.mkdir(root, { recursive: true, mode: 0o700 });
    const driver = storageDriver(options.driver ?? "overlay");
    const bootId = options.bootId ?? "boot-1";
    const writer = new DurableWriter();
    const state = await ImageState.open({ path: `${directory}/images.db`, bootId, writer });
    const workers = new StorageWorkers({ unpackers: 2 });
    const types = new ResourceTypes().register(layerDirectoryType(new LayerPaths(root), workers));
    const { journal, layers } = state;
    const steps = new JournalStepRunner({
      journal,
      undoer: new Undoer({ journal, types, bootId }),
    });
    const store = await createLayerStore({
      root,
      layers,
      journal,
      steps,
      workers,
      bootId,
      rebuild: state.origin.kind === "created" || state.origin.kind === "damaged",
      log: silentLogger,
      limits: { ...DEFAULT_UNPACK_LIMITS, ...options.limits },
      whiteouts: driver.whiteouts,
    });
    const snapshots = await driver.open({
      root,
      runRoot: `${directory}/run`,
      layers: store,
      workers,
      kernel: createLinuxKernel(),
    });
    return new StorageBench(directory, root, state, workers, store, snapshots, writer);
  }

  /** Ends the threads, as a crash would, and keeps the files. */
  async close(): Promise<void> {
    this.workers[Symbol.dispose]();
    await this.writer[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of await this.snapshots.list()) await this.snapshots.remove(id);
    await this.close();
    await Deno.remove(this.directory, { recursive: true });
  }

  /** Writes an archive as a blob and says how to apply it. */
  async application(
    tar: Uint8Array<ArrayBuffer>,
    options: {
      readonly blob?: Uint8Array<ArrayBuffer>;
      readonly compression?: LayerCompression;
      readonly parent?: ChainId | null;
      readonly chainId?: ChainId;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<LayerApplication> {
    const blob = options.blob ?? tar;
    const path = `${this.directory}/blob-${crypto.randomUUID()}`;
    await Deno.writeFile(path, blob);
    const diffId = parseDigest(sha256(tar)) as unknown as DiffId;
    const parent = options.parent ?? null;
    const chainId = options.chainId ?? chainOf(parent, diffId);
    return {
      chainId,
      diffId,
      parent,
      blobDigest: parseDigest(sha256(blob)),
      blobSize: BigInt(blob.length),
      compression: options.compression ?? "none",
      source: { kind: "file", path, offset: 0n, length: BigInt(blob.length) },
      signal: options.signal ?? new AbortController().signal,
    };
  }

  /** Applies an archive on top of others; returns its chain ID. */
  async apply(tar: Uint8Array<ArrayBuffer>, parent: ChainId | null = null): Promise<ChainId> {
    const application = await this.application(tar, { parent });
    return (await this.store.apply(application)).chainId;
  }

  /** What a failed application left: names in the layers' directory and owners in the journal. */
  async leftovers(): Promise<string[]> {
    const known = new Set(this.store.all().map(({ chainId }) => chainId as string));
    const names = [...Deno.readDirSync(`${this.root}/layers`)].map(({ name }) => name)
      .filter((name) => !known.has(`sha256:${name}`));
    const owners = (await this.state.journal.owners()).filter((owner) => !known.has(owner));
    return [...names, ...owners];
  }
}

/** OCI image specification, "Layer ChainID". */
export function chainOf(parent: ChainId | null, diffId: DiffId): ChainId {
  return (parent === null
    ? diffId
    : sha256(new TextEncoder().encode(`${parent} ${diffId}`))) as unknown as ChainId;
}
