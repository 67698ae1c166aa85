/**
 * One pull: candidates, policy, endpoints, manifest, configuration, layers, commit.
 *
 * @module
 */
import {
  errorKind,
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  ResourceExhaustedError,
  SauropodError,
  shown,
  UnavailableError,
} from "../errors/mod.ts";
import { type Digest, digestHex, type ImageId } from "../model/mod.ts";
import type { StepRunner } from "../state/mod.ts";
import type { LayerStore, StallRule } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type AuthFile, normalisedServer } from "./auth_file.ts";
import { LayerPlaces } from "./blob_places.ts";
import type { CredentialSources } from "./credential_sources.ts";
import { EndpointFailures } from "./endpoint_failures.ts";
import { type Endpoint, endpoints } from "./endpoints.ts";
import type { ImageCatalog } from "./image_catalog.ts";
import { parseImageConfig } from "./image_config.ts";
import {
  type LayerFetcher,
  layersPlan,
  ProgressBoard,
  recordedLayer,
  type WantedLayer,
  wantedLayers,
} from "./image_layers.ts";
import type { ImageConfig, ImageRecord, PullCredentials, PullProgress } from "./images.ts";
import { LiveFiles } from "./live_files.ts";
import { choosePlatform, type ImageManifest, parseManifest, type Platform } from "./manifest.ts";
import type { NamespacedAuth } from "./namespaced_auth.ts";
import { checkPull, isNamespace, namespacePolicy, type Policy } from "./policy.ts";
import { type ImageName, type ImageReference } from "./reference.ts";
import type { RegistriesConf, ShortNameMode } from "./registries_conf.ts";
import { type RegistryCerts, registryCerts } from "./registry_certs.ts";
import {
  type FetchedManifest,
  hasDigest,
  MAX_CONFIG_BYTES,
  RegistryClient,
} from "./registry_client.ts";
import { pauseBefore, type RetryPolicy } from "./retry.ts";
import { candidates } from "./short_names.ts";

export interface ImagePullerOptions {
  readonly catalog: ImageCatalog;
  readonly layers: LayerStore;
  readonly steps: StepRunner;
  /** Read for each pull, so that a change counts from the next one on. */
  readonly registries: () => Promise<RegistriesConf>;
  readonly shortNameMode: ShortNameMode | undefined;
  readonly policy: () => Promise<Policy>;
  /** Holds `<namespace>.json`, which goes before `policy`. */
  readonly policyDirectory: string | undefined;
  readonly credentials: CredentialSources;
  readonly namespacedAuth: NamespacedAuth | undefined;
  readonly certsDirectories: readonly string[];
  readonly platform: Platform;
  readonly retry: RetryPolicy;
  readonly requestTimeoutMs: number;
  readonly stall: StallRule;
  /** Attempts at an endpoint that stalls while it sends a layer. */
  readonly stallAttempts: number;
  readonly log: Logger;
}

export interface WantedImage {
  readonly name: ImageName;
  readonly credentials: PullCredentials | undefined;
  /** As {@link PullRequest.credentialsServer}. */
  readonly credentialsServer: string | undefined;
  readonly namespace: string;
  readonly listeners: Set<(progress: PullProgress) => void>;
}

/** Everything of an image but its layers. */
interface ResolvedImage {
  readonly reference: ImageReference;
  /** The endpoint that gave the manifest first, then those after it. */
  readonly clients: readonly RegistryClient[];
  /** What the endpoints before it said. */
  readonly failures: EndpointFailures;
  /** Digest that the reference led to, then that of the image's own manifest if it is another. */
  readonly digests: readonly Digest[];
  readonly manifestBytes: Uint8Array;
  readonly manifest: ImageManifest;
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
}

/** What the steps of one resolution share. */
interface Resolution {
  readonly reference: ImageReference;
  readonly clients: readonly RegistryClient[];
  readonly failures: EndpointFailures;
  /** Index into `clients` of the one in use. */
  at: number;
  top: FetchedManifest | undefined;
  leaf: FetchedManifest | undefined;
  manifest: ImageManifest | undefined;
  configBytes: Uint8Array | undefined;
  config: ImageConfig | undefined;
}

const OPERATION = "pull-image";
const DOCUMENT_DEADLINE_MS = 5 * 60_000;
/** An index may point to an index, but not for ever. */
const MAX_INDEX_DEPTH = 4;

/** What the endpoints of one pull have in common. */
interface Access {
  readonly wanted: WantedImage;
  readonly conf: RegistriesConf;
  /** Credentials that were left for this pull alone. */
  readonly left: AuthFile | undefined;
}

/** Another registry of the search list may have what this one has not, or hides. */
const TRY_NEXT_CANDIDATE: ReadonlySet<string> = new Set([
  "not_found",
  "unauthenticated",
  "permission_denied",
]);

export class ImagePuller {
  readonly #options: ImagePullerOptions;
  readonly #certs: LiveFiles<RegistryCerts>;

  constructor(options: ImagePullerOptions) {
    this.#options = options;
    this.#certs = new LiveFiles(options.log);
  }

  /** @returns the image, complete and known under the name */
  async pull(wanted: WantedImage): Promise<ImageRecord> {
    const { registries, shortNameMode, namespacedAuth } = this.#options;
    const conf = await registries();
    const policy = await this.#policyFor(wanted.namespace);
    const references = candidates(wanted.name, conf, shortNameMode);
    for (const reference of references) checkPull(policy, reference);
    await using taken = wanted.namespace === ""
      ? undefined
      : await namespacedAuth?.take(wanted.namespace, wanted.name);
    const access = { wanted, conf, left: taken?.file };
    const failures = new EndpointFailures();
    for (const reference of references) {
      try {
        return await this.#pullReference(reference, access);
      } catch (error) {
        failures.add({ role: "registry", name: String(reference) }, error);
        if (!TRY_NEXT_CANDIDATE.has(errorKind(error))) break;
      }
    }
    throw failures.error("an image of that name");
  }

  async #policyFor(namespace: string): Promise<Policy> {
    const { policy, policyDirectory } = this.#options;
    if (namespace === "") return await policy();
    if (!isNamespace(namespace)) {
      throw new InvalidArgumentError(
        `The namespace ${shown(namespace)} is not one, so that it cannot name files`,
        {
          field: "sandbox_config.metadata.namespace",
          value: namespace,
          remedy: "use lower-case letters, digits and hyphens",
        },
      );
    }
    const own = policyDirectory === undefined
      ? undefined
      : await namespacePolicy(policyDirectory, namespace);
    return own ?? await policy();
  }

  async #pullReference(reference: ImageReference, access: Access): Promise<ImageRecord> {
    using clients = new DisposableStack();
    const made: RegistryClient[] = [];
    const failures = new EndpointFailures();
    for (const endpoint of endpoints(reference, access.conf)) {
      try {
        made.push(clients.use(await this.#client(endpoint, reference, access)));
      } catch (error) {
        failures.add(endpoint, error);
        this.#logFailure(endpoint, error);
      }
    }
    if (made.length === 0) throw failures.error(`the image ${reference}`);
    const resolved = await this.#resolve(reference, made, failures);
    return await this.#complete(resolved, access.wanted.listeners);
  }

  async #client(
    endpoint: Endpoint,
    reference: ImageReference,
    { wanted, conf, left }: Access,
  ): Promise<RegistryClient> {
    const { retry, requestTimeoutMs, log, certsDirectories, credentials } = this.#options;
    const host = endpoint.name.split("/")[0]!;
    const certs = await this.#certs.read(host, () => registryCerts(certsDirectories, host));
    const { credentials: given, credentialsServer } = wanted;
    // Credentials of a request are for the registry that it names, not for a mirror.
    const server = credentialsServer === undefined
      ? reference.domain
      : normalisedServer(credentialsServer);
    const own = given !== undefined && `${endpoint.name}/`.startsWith(`${server}/`);
    return new RegistryClient({
      endpoint,
      retry,
      timeoutMs: requestTimeoutMs,
      log,
      credentials: (signal) =>
        own
          ? Promise.resolve(given)
          : credentials.find(endpoint.name, conf.credentialHelpers, signal, left),
      tls: { ...certs, verify: !endpoint.insecure },
    });
  }

  /** Manifest and configuration; the first endpoint that gives both is the first asked for layers. */
  async #resolve(
    reference: ImageReference,
    clients: readonly RegistryClient[],
    failures: EndpointFailures,
  ): Promise<ResolvedImage> {
    const context: Resolution = {
      reference,
      clients,
      failures,
      at: 0,
      top: undefined,
      leaf: undefined,
      manifest: undefined,
      configBytes: undefined,
      config: undefined,
    };
    await this.#options.steps.run(OPERATION, String(reference), [
      {
        name: "fetch-manifest",
        deadlineMs: DOCUMENT_DEADLINE_MS,
        act: (context, signal) => this.#fetchManifest(context, signal),
      },
      {
        name: "fetch-config",
        deadlineMs: DOCUMENT_DEADLINE_MS,
        act: (context, signal) => this.#fetchConfig(context, signal),
      },
    ], context);
    const { top, leaf, manifest, configBytes, config } = context;
    if (!top || !leaf || !manifest || !configBytes || !config) {
      throw new UnavailableError(`The image ${reference} was not resolved`);
    }
    return {
      reference,
      clients: clients.slice(context.at),
      failures,
      digests: top.digest === leaf.digest ? [top.digest] : [top.digest, leaf.digest],
      manifestBytes: leaf.bytes,
      manifest,
      configBytes,
      config,
    };
  }

  async #fetchManifest(context: Resolution, signal: AbortSignal): Promise<void> {
    await this.#fromFirst(context, signal, async (client) => {
      const top = await client.manifest(client.endpoint.selected, signal);
      let leaf = top;
      let parsed = parseManifest(leaf.bytes, leaf.contentType);
      for (let depth = 1; parsed.kind === "index"; depth++) {
        if (depth > MAX_INDEX_DEPTH) {
          throw new FailedPreconditionError(
            `The index of ${context.reference} is nested deeper than ${MAX_INDEX_DEPTH}`,
          );
        }
        const entry = choosePlatform(parsed, this.#options.platform);
        leaf = await client.manifest(entry.digest, signal);
        parsed = parseManifest(leaf.bytes, entry.mediaType);
      }
      Object.assign(context, { top, leaf, manifest: parsed });
    });
  }

  async #fetchConfig(context: Resolution, signal: AbortSignal): Promise<void> {
    const descriptor = context.manifest!.config;
    if (descriptor.size > BigInt(MAX_CONFIG_BYTES)) {
      throw new ResourceExhaustedError(
        `The configuration of ${context.reference} has ${descriptor.size} bytes, the limit is ${MAX_CONFIG_BYTES}`,
      );
    }
    const here = await this.#options.catalog.configBytes(imageIdOf(descriptor.digest));
    if (here !== undefined && hasDigest(here, descriptor.digest)) {
      context.configBytes = here;
      context.config = parseImageConfig(here, this.#options.platform);
      return;
    }
    await this.#fromFirst(context, signal, async (client) => {
      const bytes = await client.blob(descriptor.digest, MAX_CONFIG_BYTES, signal);
      const config = parseImageConfig(bytes, this.#options.platform);
      Object.assign(context, { configBytes: bytes, config });
    });
  }

  /** Asks the endpoints from the one in use on, until one does what `act` wants. */
  async #fromFirst(
    context: Resolution,
    signal: AbortSignal,
    act: (client: RegistryClient) => Promise<void>,
  ): Promise<void> {
    const { clients, failures, reference } = context;
    for (; context.at < clients.length; context.at++) {
      const client = clients[context.at]!;
      try {
        return await act(client);
      } catch (error) {
        if (signal.aborted) throw error;
        failures.add(client.endpoint, error);
        this.#logFailure(client.endpoint, error);
      }
    }
    throw failures.error(`the image ${reference}`);
  }

  #logFailure({ role, name }: Endpoint, error: unknown): void {
    this.#options.log.warn("An endpoint did not give an image", {
      role,
      name,
      error: errorMessage(error),
    });
  }

  async #complete(
    resolved: ResolvedImage,
    listeners: Set<(progress: PullProgress) => void>,
  ): Promise<ImageRecord> {
    const { catalog, layers, steps, log } = this.#options;
    const { reference, digests, manifest, manifestBytes, config, configBytes } = resolved;
    const id = imageIdOf(manifest.config.digest);
    const wanted = wantedLayers(manifest.layers, config);
    const chain = wanted.map(({ chainId }) => chainId);
    const board = new ProgressBoard(listeners);
    try {
      using _held = await catalog.holdLayers(chain);
      board.start(wanted, layers);
      const fetch = this.#fetcher(resolved);
      await steps.run(OPERATION, id, layersPlan(wanted, layers, board, fetch), undefined);
      return await catalog.add(OPERATION, {
        image: {
          id,
          names: [],
          digests: [],
          manifestDigest: digests.at(-1)!,
          config,
          layers: wanted.map(recordedLayer),
          documentBytes: manifestBytes.length + configBytes.length,
        },
        documents: { manifest: manifestBytes, config: configBytes },
        names: [reference],
        digests,
      });
    } catch (error) {
      await collectAfterFailure(catalog, log);
      throw error;
    }
  }

  #fetcher({ clients, failures }: ResolvedImage): LayerFetcher {
    return async (layer, onProgress, signal) => {
      const own = failures.copy();
      let from = 0;
      for (let attempt = 1;;) {
        const places = this.#places(clients.slice(from), layer, own, signal);
        try {
          const source = { kind: "http" as const, places, stall: this.#options.stall };
          await this.#options.layers.apply({ ...layer, source, signal, onProgress });
          return;
        } catch (error) {
          if (signal.aborted || error instanceof ResourceExhaustedError) throw error;
          if (places.gaveUp !== undefined) throw places.gaveUp;
          if (!(error instanceof InvalidArgumentError)) {
            if (!await this.#mayPass(error, attempt++, layer, signal)) throw error;
            continue;
          }
          from += places.at;
          this.#logFailure(clients[from]!.endpoint, error);
          // Nobody knows which part was wrong: the last endpoint is asked for the whole.
          if (places.resumed && attempt++ < this.#options.retry.attempts) continue;
          own.add(clients[from]!.endpoint, error);
          if (++from === clients.length) throw own.error(`the layer ${layer.blobDigest}`);
        }
      }
    };
  }

  #places(
    clients: readonly RegistryClient[],
    layer: WantedLayer,
    failures: EndpointFailures,
    signal: AbortSignal,
  ): LayerPlaces {
    const { retry, stallAttempts, log } = this.#options;
    const digest = layer.blobDigest;
    return new LayerPlaces({ clients, digest, failures, retry, stallAttempts, signal, log });
  }

  /** After a worker that died, or a failure of another pull that fetched the same layer: once more. */
  async #mayPass(
    error: unknown,
    attempt: number,
    { blobDigest: digest }: WantedLayer,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { retry, log } = this.#options;
    if (!(error instanceof SauropodError) || attempt >= retry.attempts) return false;
    log.warn("Fetching a layer anew", { digest, attempt, error: errorMessage(error) });
    return await pauseBefore(attempt, { again: true }, retry, signal) !== undefined;
  }
}

/** @throws {FailedPreconditionError} ids of images are sha256 digests */
export function imageIdOf(config: Digest): ImageId {
  if (!config.startsWith("sha256:")) {
    throw new FailedPreconditionError(
      `Cannot use the image: its configuration is named by ${config.split(":")[0]}, not sha256`,
      { value: config },
    );
  }
  return digestHex(config) as ImageId;
}

/** Bytes of a failed pull are given back; a failure of that must not hide why it failed. */
export async function collectAfterFailure(catalog: ImageCatalog, log: Logger): Promise<void> {
  try {
    await catalog.collect();
  } catch (error) {
    log.error("Layers of a failed pull could not be removed; the next removal tries again", {
      error,
    });
  }
}
