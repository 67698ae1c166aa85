/** Images: storage, registries and policy over the durable record. @module */
import type { LiveConfiguration } from "../config/mod.ts";
import {
  createImages,
  CredentialHelpers,
  DEFAULT_ALIAS_CACHE,
  defaultAuthFiles,
  defaultCertsDirectories,
  defaultRegistriesSources,
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
  const home = Deno.env.get("HOME") ?? "/root";
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
      policy: () =>
        image.signature_policy === "" ? loadDefaultPolicy() : loadPolicy(image.signature_policy),
      policyDirectory: image.signature_policy_dir,
      registries: options.registriesConf === undefined ? defaultRegistriesSources(home) : {
        files: [options.registriesConf],
        directories: [options.registriesConfDir ?? `${options.registriesConf}.d`],
        aliasCache: DEFAULT_ALIAS_CACHE,
      },
      shortNameMode: (image.short_name_mode || "enforcing") as ShortNameMode,
      authFiles: image.global_auth_file === ""
        ? defaultAuthFiles(Deno.env.toObject(), Deno.uid() ?? 0)
        : [{ path: image.global_auth_file, legacy: false }],
      credentialHelpers: new CredentialHelpers({
        runner: machine.runner,
        env: environmentOfHelpers(Deno.env.toObject()),
      }),
      namespacedAuthDirectory: image.namespaced_auth_dir,
      certsDirectories: defaultCertsDirectories(home),
      pullProgressTimeoutMs: image.pull_progress_timeout,
      // Pods need no pause image here, but whoever has one on the node wants to keep it, as with CRI-O.
      pinned: () => [...live.current.image.pinned_images, live.current.image.pause_image],
      assertSpace: (what) => options.reserve.assertSpace(what),
      log,
    }),
  );
  await record.images.rebuilt();
  // Pulls read these files anyway; whoever asks for a reload hears now what is wrong with them.
  live.add({
    prepare: async () => {
      await store.checkFiles();
      return () => {};
    },
  });
  const owned = undo.move();
  return {
    images: store,
    snapshots,
    removeLarge: async (path) => await workers.disk("remove", { path }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Helpers of clouds read their settings from the environment; what is ours alone they do not get. */
function environmentOfHelpers(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) =>
      !/^(DENO_|SAUROPOD_|NOTIFY_SOCKET$|WATCHDOG_|LISTEN_)/.test(name)
    ),
  );
}

/** From the journal, which is at hand before any container is, and has what is half made, too. */
async function layersInUse(journal: Journal): Promise<ChainId[]> {
  const resources = await Promise.all(
    (await journal.owners()).map((owner) => journal.ofOwner(owner)),
  );
  return resources.flat().map(snapshotLayer).filter((layer) => layer !== undefined);
}
