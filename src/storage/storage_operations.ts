/** What the storage workers do, by name. @module */
import type { BlobPlace, BlobSetback, LayerProgress } from "./layers.ts";
import type { MergeRequest } from "./layer_merge.ts";
import type { TreeManifest } from "./tree_manifest.ts";
import type { UnpackReply, UnpackRequest } from "./unpacking.ts";

/** Operations of `unpack_worker.ts`: long work, which leaves room for other work on its thread. */
export type UnpackOperations = {
  /** Copies layers into one tree; see {@link mergeLayers}. */
  merge: { request: MergeRequest; reply: void };
  unpack: {
    request: UnpackRequest;
    reply: UnpackReply;
    event: LayerProgress;
    /** Where the blob is to be had, after how the place before failed. */
    question: BlobSetback | undefined;
    answer: BlobPlace;
  };
};

/** Operations of `disk_worker.ts`: walks, removals and syncs of our own files, any of which may take long. */
export type DiskOperations = {
  /** Removes a directory and all below it; succeeds if it is gone. */
  remove: { request: { readonly path: string }; reply: void };
  /** Writes back the file system that a path is on. */
  sync: { request: { readonly path: string }; reply: void };
  /** Describes a layer's tree; undefined if it is not there. */
  manifest: { request: { readonly path: string }; reply: TreeManifest | undefined };
  /** Bytes and inodes of each tree; trees that are gone count nothing. */
  measure: {
    request: { readonly paths: readonly string[] };
    reply: { readonly bytes: bigint; readonly inodes: number }[];
  };
  /** Unmounts whatever is mounted at a path; succeeds if nothing is. */
  unmount: { request: { readonly path: string }; reply: void };
};
