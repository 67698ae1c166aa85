/** Layers and root file systems: what other rooms may use of the storage. @module */
export type {
  BlobFailure,
  BlobPlace,
  BlobPlaces,
  BlobSetback,
  LayerApplication,
  LayerCompression,
  LayerProgress,
  LayerRecord,
  LayerSource,
  LayerStore,
  StallRule,
} from "./layers.ts";
export { DEFAULT_STALL_RULE } from "./layers.ts";
export {
  addressText,
  failureText,
  HttpTransport,
  SYSTEM_TRUST,
  type TlsSettings,
} from "./http_transport.ts";
export type { FileSystemUsage, SnapshotRequest, Snapshots } from "./snapshots.ts";
export { createLayerStore, type LayerStack, type LayerStoreOptions } from "./layer_store.ts";
export { LAYER_DIRECTORY, type LayerDirectory, layerDirectoryType } from "./layer_directory.ts";
export { LayerPaths } from "./layer_paths.ts";
export { type TarEntry, TarReader, type TarVisitor } from "./tar_reader.ts";
export { DEFAULT_UNPACK_LIMITS, MAX_LAYERS, type UnpackLimits } from "./limits.ts";
export type { SnapshotsOptions } from "./driver_snapshots.ts";
export { createOverlaySnapshots } from "./overlay.ts";
export { createVfsSnapshots } from "./vfs.ts";
export { type StorageDriver, storageDriver } from "./drivers.ts";
export {
  SNAPSHOT_DIRECTORY,
  SNAPSHOT_MOUNT,
  snapshotDirectoryType,
  snapshotIntent,
  snapshotLayer,
  snapshotMountType,
  snapshotPayload,
  type SnapshotResource,
} from "./snapshot_resources.ts";
export { StorageWorkers, type StorageWorkersOptions } from "./storage_workers.ts";
