/** Images: storage, registries and policy over the durable record. @module */
import type { LiveConfiguration } from "../config/mod.ts";
import {
  createImages,
  imageDirectoryType,
  type ImageStore,
  loadDefaultPolicy,
  loadPolicy,
  type ShortNameMode,
} from "../image/mod.ts";
import type { ChainId } from "../model/mod.ts";
import type { PodRegistry } from "../pod/mod.ts";
import type { Journal, SpaceReserve } from "../state/mod.ts";
import {
  createLayerStore,
  layerDirectoryType,
  LayerPaths,
  snapshotDirectoryType,
  snapshotLayer,
  snapshotMountType,
  type Snapshots,
  storageDriver,
  StorageWorkers,
} from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { Machine } from "./node.ts";
import type { ServerPaths } from "./paths.ts";
import { logOrigin, type ServerRecord } from "./record.ts";

export interface ImagesOptions {
  readonly live: LiveConfiguration;
  readonly paths: ServerPaths;
  readonly machine: Machine;
  readonly record: ServerRecord;
  readonly reserve: SpaceReserve;
  readonly registry: PodRegistry;
  readonly registriesConf: string | undefined;
  readonly registriesConfDir: string | undefined;
  readonly log: Logger;
}

export interface ServerImages extends AsyncDisposable {
  readonly images: ImageStore;
  readonly snapshots: Snapshots;
  /** Removes a tree of ours in a worker, however large. */
  readonly removeLarge: (path: string) => Promise<void>;
}

export async function openImages(options: ImagesOptions): Promise<ServerImages> {
  const { live, paths, machine, record, registry, log } = options;
  const configuration = live.current;
  await using undo = new AsyncDisposableStack();
  const workers = undo.use(new StorageWorkers());
  const { origin, layers: table, images, journal } = record.images;
  const rebuild = origin.kind === "created" || origin.kind === "damaged";
  if (rebuild) logOrigin("images", origin, log);
  const { runner: steps } = record.imageSteps;
  const { bootId } = machine.processes;
  const driver = storageDriver(configuration.base.storage_driver);
  record.imageTypes.register(layerDirectoryType(new LayerPaths(paths.root), workers));
  record.imageTypes.register(imageDirectoryType(paths.root, images));
  const layers = await createLayerStore({
    root: paths.root,
    layers: table,
    journal,
    steps,
    workers,
    bootId,
    rebuild,
    log,
    whiteouts: driver.whiteouts,
  });
  const snapshots = await driver.open({
    root: paths.root,
    runRoot: paths.runRoot,
    layers,
    workers,
    kernel: machine.kernel,
  });
  record.podTypes.register(snapshotDirectoryType(snapshots));
  record.podTypes.register(snapshotMountType(snapshots));
  const { image } = configuration;
  const store = undo.use(
    await createImages({
      root: paths.root,
      table: images,
      journal,
      steps,
      layers,
      users: {
        containersUsing: (id) =>
          [...registry.containers()].filter((record) => record.imageId === id).map(({ id }) => id),
        layersInUse: () => layersInUse(record.pods.journal),
      },
      rebuild,
      policy: image.signature_policy === ""
        ? await loadDefaultPolicy()
        : await loadPolicy(image.signature_policy),
      policyDirectory: image.signature_policy_dir,
      ...(options.registriesConf === undefined ? {} : {
        registries: {
          file: options.registriesConf,
          directory: options.registriesConfDir ?? `${options.registriesConf}.d`,
        },
      }),
      shortNameMode: (image.short_name_mode || "enforcing") as ShortNameMode,
      ...(image.global_auth_file === "" ? {} : { authFile: image.global_auth_file }),
      pinned: () => live.current.image.pinned_images,
      assertSpace: (what) => options.reserve.assertSpace(what),
      log,
    }),
  );
  await record.images.rebuilt();
  const owned = undo.move();
  return {
    images: store,
    snapshots,
    removeLarge: async (path) => await workers.disk("remove", { path }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** From the journal, which is at hand before any container is, and has what is half made, too. */
async function layersInUse(journal: Journal): Promise<ChainId[]> {
  const resources = await Promise.all(
    (await journal.owners()).map((owner) => journal.ofOwner(owner)),
  );
  return resources.flat().map(snapshotLayer).filter((layer) => layer !== undefined);
}
