/**
 * Layers: unpacked file trees by chain ID, shared by every image that has them.
 *
 * A layer is invisible until its files and its commit record are complete. It is usable at once and
 * marked durable after one `syncfs` an image; what was not durable at an unclean boot is verified
 * or fetched again, that layer alone.
 *
 * @module
 */
import type { TlsSettings } from "./http_transport.ts";
import type { ChainId, DiffId, Digest } from "../model/mod.ts";

export type LayerCompression = "none" | "gzip" | "zstd";

/** Where the bytes of a layer blob come from; workers read them, the main thread does not. */
export type LayerSource =
  /** GETs, made by the worker, at one place after the other until all bytes are here. */
  | { readonly kind: "http"; readonly places: BlobPlaces; readonly stall?: StallRule }
  /** Part of a file of ours: a blob of an OCI layout, a member of an archive. */
  | {
    readonly kind: "file";
    readonly path: string;
    readonly offset: bigint;
    readonly length: bigint;
  };

/** Where a blob is to be had now. */
export interface BlobPlace {
  readonly url: string;
  /** Secrets, often: only the origin of `url` gets them. Redirects are followed at most five times. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsSettings;
}

/** How a place failed. `host` is the one that did, after redirects not the one asked. */
export type BlobFailure =
  /** It answered another status than 200 or 206. */
  | {
    readonly kind: "status";
    readonly host: string;
    readonly status: number;
    /** The `Retry-After` header as written, empty if there was none. */
    readonly retryAfter: string;
  }
  /** The connection could not be made, or broke. */
  | { readonly kind: "broken"; readonly host: string; readonly why: string }
  /** It fell below the rate that the {@link StallRule} wants. */
  | { readonly kind: "stalled"; readonly host: string; readonly why: string }
  /** It answered what cannot be used: a redirect to nowhere, another part. */
  | { readonly kind: "unusable"; readonly host: string; readonly why: string };

export interface BlobSetback {
  readonly failure: BlobFailure;
  /** Bytes of the blob that are here: the next place is asked for the rest only. */
  readonly receivedBytes: bigint;
}

/** Knows where a blob is to be had. */
export interface BlobPlaces {
  /**
   * The place to ask now: the first one, or after a setback the same again or another.
   *
   * @throws it gives up; the application fails with this error's kind and message
   */
  next(setback: BlobSetback | undefined): Promise<BlobPlace>;
}

/** A connection that brings less than this has stalled; time spent unpacking does not count. */
export interface StallRule {
  readonly windowMs: number;
  readonly floorBytesPerSecond: number;
}

/** One minute is what proved not too short on bad lines; a kilobyte a second would take a day for 80 MB. */
export const DEFAULT_STALL_RULE: StallRule = { windowMs: 60_000, floorBytesPerSecond: 1024 };

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
   * @throws with kind and message of what the source's places threw when they gave up
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
