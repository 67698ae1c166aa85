/**
 * The images of this node.
 *
 * ```
 *   pull, load --> layers applied --> files written --> committed: usable
 *                                                           |
 *                                          made durable in the background
 * ```
 * @module
 */
import { createHash } from "node:crypto";
import { CancelledError, FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import type { ImageId } from "../model/mod.ts";
import type { DurableRecordTable, Journal, StepRunner } from "../state/mod.ts";
import { DEFAULT_STALL_RULE, type LayerStore } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { AuthFilePath } from "./auth_file.ts";
import type { CredentialHelpers } from "./credential_helper.ts";
import { CredentialSources } from "./credential_sources.ts";
import { ImageCatalog } from "./image_catalog.ts";
import { ImageDirectories } from "./image_directory.ts";
import { ImageLoader } from "./image_loader.ts";
import { ImagePuller } from "./image_puller.ts";
import type {
  ImageRecord,
  Images,
  ImageUsers,
  LoadRequest,
  PullProgress,
  PullRequest,
} from "./images.ts";
import { machinePlatform, type Platform } from "./manifest.ts";
import { LiveFiles } from "./live_files.ts";
import { NamespacedAuth } from "./namespaced_auth.ts";
import { checkPull, namespacePolicy, type Policy } from "./policy.ts";
import {
  type ImageName,
  type ImageReference,
  parseImageName,
  parseReference,
  qualify,
} from "./reference.ts";
import {
  loadRegistriesConf,
  type RegistriesConf,
  type RegistriesSources,
  type ShortNameMode,
} from "./registries_conf.ts";
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from "./retry.ts";
import { candidates } from "./short_names.ts";

export interface ImagesOptions {
  /** Directory of the runtime's lasting state; images lie in `images/` below it. */
  readonly root: string;
  readonly table: DurableRecordTable;
  readonly journal: Journal;
  /** Has {@link imageDirectoryType} registered; its journal is `journal`. */
  readonly steps: StepRunner;
  readonly layers: LayerStore;
  readonly users: ImageUsers;
  /** True if the database is new or was lost: images are taken in again from their files. */
  readonly rebuild: boolean;
  /** Reads the signature policy; called for each pull and load, so that a change counts. */
  readonly policy: () => Promise<Policy>;
  /** `signature_policy_dir`: `<namespace>.json` goes before `policy`. */
  readonly policyDirectory?: string;
  /** registries.conf, its drop-ins, recorded aliases. */
  readonly registries: RegistriesSources;
  /** `short_name_mode`; without it the registries file decides. */
  readonly shortNameMode?: ShortNameMode;
  /** Files of registry credentials in the order in which they are asked: `global_auth_file` alone, or the usual ones. */
  readonly authFiles: readonly AuthFilePath[];
  readonly credentialHelpers: CredentialHelpers;
  /** `namespaced_auth_dir`. */
  readonly namespacedAuthDirectory?: string;
  /** Folders with certificates of registries. */
  readonly certsDirectories: readonly string[];
  /** Patterns of `pinned_images` and the pause image, as they are now. */
  readonly pinned: () => readonly string[];
  readonly log: Logger;
  /** @throws {ResourceExhaustedError} the disk is too full to make anything */
  readonly assertSpace?: (what: string) => void;
  readonly platform?: Platform;
  readonly retry?: RetryPolicy;
  /** For one manifest, token or configuration; 60 s by default. */
  readonly requestTimeoutMs?: number;
  /** `pull_progress_timeout`: how long a layer may stand still before its endpoint is given up; 0 for the usual. */
  readonly pullProgressTimeoutMs?: number;
}

/** The images, and what only their owner may do. */
export interface ImageStore extends Images, AsyncDisposable {
  /** The configuration of an image exactly as its author wrote it; undefined if it is gone. */
  configBytes(id: ImageId): Promise<Uint8Array | undefined>;
  /**
   * Reads registries files, policy and credentials files now instead of with the next pull. One that is
   * wrong keeps what it said before.
   *
   * @returns what is wrong, a sentence for each
   */
  checkFiles(): Promise<readonly string[]>;
}

const REQUEST_TIMEOUT_MS = 60_000;
const STALL_ATTEMPTS = 2;
const REGISTRIES_FILES = "registries files";
const POLICY_FILE = "signature policy";

/**
 * Opens the images: takes in the record, undoes what a crash left half made, removes layers of no image.
 *
 * @throws {FailedPreconditionError} the registries file or the policy is wrong; names it and the entry
 * @throws {UnimplementedError} the policy has a rule that is not built
 */
export async function createImages(options: ImagesOptions): Promise<ImageStore> {
  const registries = await loadRegistriesConf(options.registries);
  const store = new DiskImageStore(options, registries, await options.policy());
  await store.recover();
  return store;
}

/** A pull under way, and who wants to hear of it. */
interface SharedPull {
  readonly result: Promise<ImageRecord>;
  readonly listeners: Set<(progress: PullProgress) => void>;
}

class DiskImageStore implements ImageStore {
  readonly #options: ImagesOptions;
  readonly #catalog: ImageCatalog;
  readonly #puller: ImagePuller;
  readonly #loader: ImageLoader;
  /** As of the last pull: names are looked up synchronously. */
  #registries: RegistriesConf;
  readonly #registriesFiles: LiveFiles<RegistriesConf>;
  readonly #policy: LiveFiles<Policy>;
  readonly #credentials: CredentialSources;
  readonly #namespacedAuth: NamespacedAuth | undefined;
  readonly #pulls = new Map<string, SharedPull>();
  /** Work that nobody waits for, but the end of the process does. */
  readonly #background = new Set<Promise<unknown>>();

  constructor(options: ImagesOptions, registries: RegistriesConf, policy: Policy) {
    const { log, namespacedAuthDirectory, pullProgressTimeoutMs = 0 } = options;
    this.#options = options;
    this.#registries = registries;
    this.#registriesFiles = new LiveFiles(log);
    this.#registriesFiles.keep(REGISTRIES_FILES, registries);
    this.#policy = new LiveFiles(log);
    this.#policy.keep(POLICY_FILE, policy);
    this.#credentials = new CredentialSources({
      files: options.authFiles,
      helpers: options.credentialHelpers,
      log,
    });
    this.#namespacedAuth = namespacedAuthDirectory === undefined
      ? undefined
      : new NamespacedAuth(namespacedAuthDirectory, log);
    this.#catalog = new ImageCatalog({
      ...options,
      directories: new ImageDirectories(options.root),
    });
    const platform = options.platform ?? machinePlatform();
    this.#puller = new ImagePuller({
      catalog: this.#catalog,
      layers: options.layers,
      steps: options.steps,
      registries: () => this.#readRegistries(),
      shortNameMode: options.shortNameMode,
      policy: () => this.#policy.read(POLICY_FILE, options.policy),
      policyDirectory: options.policyDirectory,
      credentials: this.#credentials,
      namespacedAuth: this.#namespacedAuth,
      certsDirectories: options.certsDirectories,
      platform,
      retry: options.retry ?? DEFAULT_RETRY_POLICY,
      requestTimeoutMs: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
      stall: pullProgressTimeoutMs === 0
        ? DEFAULT_STALL_RULE
        : { ...DEFAULT_STALL_RULE, windowMs: pullProgressTimeoutMs },
      stallAttempts: pullProgressTimeoutMs === 0 ? STALL_ATTEMPTS : 1,
      log,
    });
    this.#loader = new ImageLoader({
      catalog: this.#catalog,
      layers: options.layers,
      steps: options.steps,
      policy: () => this.#policy.read(POLICY_FILE, options.policy),
      temporaryDirectory: `${options.root}/loading`,
      platform,
      log: options.log,
    });
  }

  async recover(): Promise<void> {
    await this.#loader.recover();
    await this.#namespacedAuth?.recover();
    await this.#catalog.recover(this.#options.rebuild);
    this.#makeDurable(this.#catalog.all());
  }

  all(): readonly ImageRecord[] {
    return this.#catalog.all();
  }

  find(text: string): ImageRecord | undefined {
    const id = this.#identify(text)?.id;
    return id === undefined ? undefined : this.#catalog.get(id);
  }

  async pull(request: PullRequest): Promise<ImageRecord> {
    const name = parseImageName(request.reference);
    this.#options.assertSpace?.("Pulling an image");
    if (request.signal?.aborted) throw clientLeft(request);
    const shared = this.#shared(name, request);
    const { onProgress, signal } = request;
    if (onProgress !== undefined) shared.listeners.add(onProgress);
    try {
      return await unlessLeft(shared.result, request, signal);
    } finally {
      if (onProgress !== undefined) shared.listeners.delete(onProgress);
    }
  }

  async load(request: LoadRequest): Promise<readonly ImageRecord[]> {
    this.#options.assertSpace?.("Loading an image");
    const images = await this.#loader.load(request);
    this.#makeDurable(images);
    return images;
  }

  async remove(text: string): Promise<void> {
    const found = this.#identify(text);
    if (found === undefined) return;
    if (found.name === undefined) await this.#catalog.removeImage(found.id);
    else await this.#catalog.removeName(found.id, found.name);
  }

  async checkUse(image: ImageRecord, name: string, namespace: string): Promise<void> {
    const { policyDirectory } = this.#options;
    const policy = policyDirectory === undefined
      ? undefined
      : await namespacePolicy(policyDirectory, namespace);
    if (policy === undefined) return;
    for (const reference of this.#usedNames(image, name)) checkPull(policy, reference);
  }

  hold(image: ImageId): Disposable {
    return this.#catalog.hold(image);
  }

  configBytes(id: ImageId): Promise<Uint8Array | undefined> {
    return this.#catalog.configBytes(id);
  }

  async checkFiles(): Promise<readonly string[]> {
    const { policy } = this.#options;
    const problems = [
      await this.#registriesFiles.check(REGISTRIES_FILES, () => this.#loadRegistries()),
      await this.#policy.check(POLICY_FILE, policy),
      ...await this.#credentials.check(),
    ];
    return problems.filter((problem) => problem !== undefined);
  }

  /** Waits for what is under way; pulls go on until they end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#pulls.values()].map(({ result }) => result));
    await Promise.allSettled(this.#background);
  }

  /** The image that a text means, and the name that it is; without one the text is an id. */
  #identify(
    text: string,
  ): { readonly id: ImageId; readonly name: ImageReference | undefined } | undefined {
    const byId = this.#catalog.identify(text);
    if (byId !== undefined) return { id: byId, name: undefined };
    if (/^(?:sha256:)?[0-9a-f]{64}$/.test(text)) return undefined;
    for (const name of this.#localCandidates(parseImageName(text))) {
      const id = this.#catalog.named(name);
      if (id !== undefined) return { id, name };
    }
    return undefined;
  }

  /** Identical pulls are those of the same name with the same credentials for the same namespace. */
  #shared(
    name: ImageName,
    { credentials, credentialsServer, namespace }: PullRequest,
  ): SharedPull {
    const key = createHash("sha256").update(JSON.stringify([
      name.kind === "qualified" ? String(name.reference) : [name.path, name.selector],
      credentials === undefined ? null : Object.entries(credentials).sort(),
      credentialsServer ?? null,
      namespace,
    ])).digest("hex");
    const underWay = this.#pulls.get(key);
    if (underWay !== undefined) return underWay;
    const listeners = new Set<(progress: PullProgress) => void>();
    const result = this.#puller.pull({
      name,
      credentials,
      credentialsServer,
      namespace,
      listeners,
    });
    const shared = { result, listeners };
    this.#pulls.set(key, shared);
    result.then(
      (image) => this.#makeDurable([image]),
      // Whoever still waits has the error, too; if nobody does, this is where it is told.
      (error: unknown) => this.#options.log.warn("A pull failed", { error }),
    ).finally(() => this.#pulls.delete(key));
    return shared;
  }

  #makeDurable(images: readonly ImageRecord[]): void {
    if (this.#catalog.notDurable(images).length === 0) return;
    const work = this.#options.steps
      .commit("pull-image", "make-durable", () => this.#catalog.makeDurable(images))
      .catch((error: unknown) => this.#options.log.error("Layers are not durable yet", { error }))
      .finally(() => this.#background.delete(work));
    this.#background.add(work);
  }

  #readRegistries(): Promise<RegistriesConf> {
    return this.#registriesFiles.read(REGISTRIES_FILES, () => this.#loadRegistries());
  }

  async #loadRegistries(): Promise<RegistriesConf> {
    this.#registries = await loadRegistriesConf(this.#options.registries);
    return this.#registries;
  }

  /** The names of the image that a user's text means. */
  #usedNames(image: ImageRecord, text: string): readonly ImageReference[] {
    const all = [...image.repoTags, ...image.repoDigests].map((name) => parseReference(name));
    if (this.#catalog.identify(text) !== undefined || image.id === text) return all;
    const candidates = this.#localCandidates(parseImageName(text)).map(String);
    const named = all.filter((name) => candidates.includes(String(name)));
    return named.length > 0 ? named : all;
  }

  /**
   * What a name may mean among the images that are here: as a pull would complete it, then as archives
   * mean short names.
   */
  #localCandidates(name: ImageName): readonly ImageReference[] {
    if (name.kind === "qualified") return [name.reference];
    const byArchive = [qualify(name, "docker.io"), qualify(name, "localhost")];
    try {
      return [...candidates(name, this.#registries, "disabled"), ...byArchive];
    } catch (error) {
      if (error instanceof FailedPreconditionError) return byArchive;
      if (error instanceof InvalidArgumentError) return [];
      throw error;
    }
  }
}

function unlessLeft<T>(
  result: Promise<T>,
  request: PullRequest,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return result;
  return new Promise((resolve, reject) => {
    const left = () => reject(clientLeft(request));
    signal.addEventListener("abort", left, { once: true });
    result.then(resolve, reject).finally(() => signal.removeEventListener("abort", left));
  });
}

function clientLeft({ reference }: PullRequest): CancelledError {
  return new CancelledError(`The client of the pull of ${reference} left; the pull goes on`);
}
