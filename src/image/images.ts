/**
 * Images as the rest of the runtime sees them.
 *
 * @module
 */
import type { ChainId, DiffId, Digest, ImageId } from "../model/mod.ts";
import type { LayerProgress } from "../storage/layers.ts";

/**
 * The configuration that an image brings: hostile data in a type of its own, bounded and checked for
 * shape at the pull. Nothing here is ever read as an instruction to the runtime.
 */
export interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly exposedPorts: readonly string[];
  /** As written: `SIGTERM`, `TERM`, `15`; empty if the image has none. */
  readonly stopSignal: string;
  readonly diffIds: readonly DiffId[];
  /** RFC 3339, empty if unknown. */
  readonly created: string;
}

export interface ImageRecord {
  readonly id: ImageId;
  /** `docker.io/library/busybox:latest`, sorted. */
  readonly repoTags: readonly string[];
  /** `docker.io/library/busybox@sha256:...`, sorted. */
  readonly repoDigests: readonly string[];
  readonly config: ImageConfig;
  readonly manifestDigest: Digest;
  /** Topmost layer, null for an image without layers. */
  readonly top: ChainId | null;
  /** Chain IDs, bottom first. */
  readonly layers: readonly ChainId[];
  /** Bytes of all its layers on disk plus its manifest and configuration. */
  readonly sizeBytes: bigint;
  readonly pinned: boolean;
}

/** Credentials for a registry, already decoded; never logged. */
export type PullCredentials =
  | PasswordCredentials
  /** For the registry's token service (an OAuth 2 refresh token). */
  | { readonly identityToken: string }
  /** A bearer token for the registry itself. */
  | { readonly registryToken: string };

export interface PasswordCredentials {
  readonly username: string;
  readonly password: string;
}

export interface PullRequest {
  /** As the user gave it: a short name, a tag, a digest. */
  readonly reference: string;
  readonly credentials?: PullCredentials;
  /**
   * Server that the credentials are for, as `https://host/v1/` or `host[:port][/path]`; no other gets them.
   * Without it they are for the registry that the reference names.
   */
  readonly credentialsServer?: string;
  /** Kubernetes namespace of the pod that needs it, empty if none. */
  readonly namespace: string;
  readonly onProgress?: (progress: PullProgress) => void;
  /** Leaving does not end a pull that others wait for, nor one that is under way: it goes on for the retry. */
  readonly signal?: AbortSignal;
}

export interface PullProgress {
  readonly layers: readonly {
    readonly digest: Digest;
    readonly sizeBytes: bigint;
    readonly state: "queued" | "fetching" | "done" | "present";
    readonly progress?: LayerProgress;
  }[];
}

/** Who holds an image: asked before it is removed. */
export interface ImageUsers {
  /** Ids of the containers made from the image. */
  containersUsing(image: ImageId): readonly string[];
  /**
   * Topmost layers of all root file systems. They stay even if the record of their image was lost:
   * nothing may be taken away below a running container.
   */
  layersInUse(): Promise<readonly ChainId[]>;
}

/** Bytes of an archive given on standard input or as a file: an OCI layout (tar or directory) or a docker archive. */
export interface LoadRequest {
  readonly path: string;
  /** Name for an image that the archive does not name. */
  readonly reference?: string;
}

export interface Images {
  all(): readonly ImageRecord[];
  /**
   * Finds by id, by id prefix of three or more characters, by reference (tag or digest, short names
   * expanded). Undefined if there is none.
   *
   * @throws {InvalidArgumentError} the text is not a reference, or the prefix fits two images
   */
  find(reference: string): ImageRecord | undefined;
  /** Pulls if need be and returns the record. */
  pull(request: PullRequest): Promise<ImageRecord>;
  load(request: LoadRequest): Promise<readonly ImageRecord[]>;
  /**
   * By id: all its names and the image. By name: the name, and the image with its last name.
   * Succeeds if there is none.
   *
   * @throws {FailedPreconditionError} a container uses it; names the container
   */
  remove(reference: string): Promise<void>;
  /**
   * Passes unless the namespace has a signature policy of its own that rejects the image: another
   * namespace may have pulled it.
   *
   * @param name by which a container asks for it; for an id, all names of the image count
   * @throws {PermissionDeniedError} names the scope that decided, and the file
   * @throws {UnimplementedError} | {FailedPreconditionError} the policy cannot be followed
   */
  checkUse(image: ImageRecord, name: string, namespace: string): Promise<void>;
  /** Keeps the image from being removed while a container is made from it. */
  hold(image: ImageId): Disposable;
}
