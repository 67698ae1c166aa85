/**
 * Layers: unpacked file trees by chain ID, shared by every image that has them.
 *
 * A layer is invisible until its files and its commit record are complete. It is usable at once and
 * marked durable after one `syncfs` an image; what was not durable at an unclean boot is verified
 * or fetched again, that layer alone.
 *
 * @module
 */
import type { ChainId, DiffId, Digest } from "../model/mod.ts";

export type LayerCompression = "none" | "gzip" | "zstd";

/** Where the bytes of a layer blob come from; workers read them, the main thread does not. */
export type LayerSource =
  /**
   * One GET, made by the worker. Redirects are followed at most five times; `headers` go only to the
   * host of `url`. A status other than 200 fails with a {@link BlobStatusError}.
   */
  | {
    readonly kind: "http";
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    /** PEM certificates trusted beside the system's. */
    readonly caCerts?: readonly string[];
  }
  /** Part of a file of ours: a blob of an OCI layout, a member of an archive. */
  | {
    readonly kind: "file";
    readonly path: string;
    readonly offset: bigint;
    readonly length: bigint;
  };

export interface LayerApplication {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent: ChainId | null;
  /** Digest of the blob as it comes from the source; checked before commit. */
  readonly blobDigest: Digest;
  /** Size of the blob as the manifest states it; more or fewer bytes fail. */
  readonly blobSize: bigint;
  readonly compression: LayerCompression;
  readonly source: LayerSource;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: LayerProgress) => void;
}

export interface LayerProgress {
  readonly blobBytes: bigint;
  readonly unpackedBytes: bigint;
  readonly entries: number;
}

/** The commit record of a layer; also a file beside it, from which the database can be rebuilt. */
export interface LayerRecord {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent: ChainId | null;
  readonly blobDigest: Digest;
  readonly blobSize: bigint;
  /** Bytes and inodes the layer takes on disk. */
  readonly diskBytes: bigint;
  readonly inodes: number;
  readonly durable: boolean;
}

export interface LayerStore {
  get(chainId: ChainId): LayerRecord | undefined;
  all(): readonly LayerRecord[];
  /**
   * Fetches, checks, decompresses and unpacks one layer in a worker, then commits it. Identical
   * calls share one application. After a failure nothing of it is left.
   *
   * @throws {BlobStatusError} the source answered another status than 200
   * @throws {InvalidArgumentError} digest, diff ID or size differ, or the archive is hostile: says
   *   which entry and why
   * @throws {ResourceExhaustedError} a limit or the disk is exceeded
   * @throws {UnavailableError} the worker died or the connection broke; may be repeated
   */
  apply(application: LayerApplication): Promise<LayerRecord>;
  /** Makes the given layers survive a power cut; returns when they do. */
  makeDurable(chainIds: readonly ChainId[]): Promise<void>;
  /** Removes layers that no given chain needs; their bytes are back when it returns. */
  collect(needed: ReadonlySet<ChainId>): Promise<readonly ChainId[]>;
}
