/**
 * One pull: candidates, policy, endpoints, manifest, configuration, layers, commit.
 *
 * @module
 */
import {
  CancelledError,
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  ResourceExhaustedError,
  shown,
  UnauthenticatedError,
  UnavailableError,
} from "../errors/mod.ts";
import { type Digest, digestHex, type ImageId } from "../model/mod.ts";
import type { StepRunner } from "../state/mod.ts";
import { BlobStatusError, type LayerStore } from "../storage/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { credentialsFor, loadAuthFile } from "./auth_file.ts";
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
import { choosePlatform, type ImageManifest, parseManifest, type Platform } from "./manifest.ts";
import { checkPull, loadPolicyIfThere, type Policy } from "./policy.ts";
import { type ImageName, type ImageReference } from "./reference.ts";
import {
  candidates,
  type Endpoint,
  endpoints,
  type RegistriesConf,
  type ShortNameMode,
} from "./registries_conf.ts";
import { registryCerts } from "./registry_certs.ts";
import {
  type FetchedManifest,
  hasDigest,
  MAX_CONFIG_BYTES,
  RegistryClient,
} from "./registry_client.ts";
import { type RetryPolicy, withRetries } from "./retry.ts";

export interface ImagePullerOptions {
  readonly catalog: ImageCatalog;
  readonly layers: LayerStore;
  readonly steps: StepRunner;
  /** Read for each pull, so that a change counts from the next one on. */
  readonly registries: () => Promise<RegistriesConf>;
  readonly shortNameMode: ShortNameMode | undefined;
  readonly policy: Policy;
  /** Holds `<namespace>.json`, which goes before `policy`. */
  readonly policyDirectory: string | undefined;
  readonly authFile: string | undefined;
  readonly certsDirectories: readonly string[];
  readonly platform: Platform;
  readonly retry: RetryPolicy;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
}

export interface WantedImage {
  readonly name: ImageName;
  readonly credentials: PullCredentials | undefined;
  readonly namespace: string;
  readonly listeners: Set<(progress: PullProgress) => void>;
}

/** Everything of an image but its layers. */
interface ResolvedImage {
  readonly reference: ImageReference;
  /** The endpoint that gave the manifest first, then those after it. */
  readonly clients: readonly RegistryClient[];
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
const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,251}[a-z0-9])?$/;

export class ImagePuller {
  readonly #options: ImagePullerOptions;

  constructor(options: ImagePullerOptions) {
    this.#options = options;
  }

  /** @returns the image, complete and known under the name */
  async pull(wanted: WantedImage): Promise<ImageRecord> {
    const conf = await this.#options.registries();
    const policy = await this.#policyFor(wanted.namespace);
    const references = candidates(wanted.name, conf, this.#options.shortNameMode);
    for (const reference of references) checkPull(policy, reference);
    const failures: unknown[] = [];
    for (const reference of references) {
      try {
        return await this.#pullReference(reference, endpoints(reference, conf), wanted);
      } catch (error) {
        failures.push(error);
        // Another candidate may have what this one has not; any other failure is told at once.
        if (!(error instanceof NotFoundError) && !(error instanceof UnauthenticatedError)) break;
      }
    }
    throw last(failures);
  }

  async #policyFor(namespace: string): Promise<Policy> {
    const { policy, policyDirectory } = this.#options;
    if (policyDirectory === undefined || namespace === "") return policy;
    if (!NAMESPACE.test(namespace)) {
      throw new InvalidArgumentError(
        `The namespace ${shown(namespace)} cannot name a policy file`,
        {
          field: "sandbox_config.metadata.namespace",
          value: namespace,
          remedy: "use lower-case letters, digits and hyphens",
        },
      );
    }
    return await loadPolicyIfThere(`${policyDirectory}/${namespace}.json`) ?? policy;
  }

  async #pullReference(
    reference: ImageReference,
    places: readonly Endpoint[],
    wanted: WantedImage,
  ): Promise<ImageRecord> {
    using clients = new DisposableStack();
    const made: RegistryClient[] = [];
    for (const endpoint of places) {
      made.push(clients.use(await this.#client(endpoint, reference, wanted.credentials)));
    }
    const resolved = await this.#resolve(reference, made);
    return await this.#complete(resolved, wanted.listeners);
  }

  async #client(
    endpoint: Endpoint,
    reference: ImageReference,
    given: PullCredentials | undefined,
  ): Promise<RegistryClient> {
    const { retry, requestTimeoutMs, log, certsDirectories, authFile } = this.#options;
    const caCerts = await registryCerts(certsDirectories, endpoint.host);
    // Credentials of a request are for the registry that its reference names, not for a mirror.
    const own = endpoint.name.startsWith(`${reference.domain}/`) ? given : undefined;
    const file = own === undefined && authFile !== undefined
      ? await loadAuthFile(authFile)
      : undefined;
    const credentials = own ??
      (file === undefined ? undefined : credentialsFor(file, endpoint.name));
    return new RegistryClient({
      endpoint,
      retry,
      timeoutMs: requestTimeoutMs,
      log,
      ...(credentials === undefined ? {} : { credentials }),
      ...(caCerts === undefined ? {} : { caCerts }),
    });
  }

  /** Manifest and configuration; the first endpoint that gives both is the first asked for layers. */
  async #resolve(
    reference: ImageReference,
    clients: readonly RegistryClient[],
  ): Promise<ResolvedImage> {
    const context: Resolution = {
      reference,
      clients,
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
      digests: top.digest === leaf.digest ? [top.digest] : [top.digest, leaf.digest],
      manifestBytes: leaf.bytes,
      manifest,
      configBytes,
      config,
    };
  }

  async #fetchManifest(context: Resolution, signal: AbortSignal): Promise<void> {
    await this.#fromFirst(context, signal, async (client) => {
      const top = await client.manifest(context.reference.selected, signal);
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
    const failures: unknown[] = [];
    for (; context.at < context.clients.length; context.at++) {
      const client = context.clients[context.at]!;
      try {
        return await act(client);
      } catch (error) {
        failures.push(error);
        if (signal.aborted) break;
        this.#logFailure(client, error);
      }
    }
    throw last(failures);
  }

  #logFailure({ endpoint }: RegistryClient, error: unknown): void {
    const { role, name } = endpoint;
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
      const fetch = this.#fetcher(resolved.clients);
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

  #fetcher(clients: readonly RegistryClient[]): LayerFetcher {
    return async (layer, progress, signal) => {
      const failures: unknown[] = [];
      for (const client of clients) {
        try {
          return await this.#fetchLayer(client, layer, progress, signal);
        } catch (error) {
          failures.push(error);
          if (signal.aborted || error instanceof ResourceExhaustedError) break;
          this.#logFailure(client, error);
        }
      }
      throw last(failures);
    };
  }

  async #fetchLayer(
    client: RegistryClient,
    layer: WantedLayer,
    onProgress: Parameters<LayerFetcher>[1],
    signal: AbortSignal,
  ): Promise<void> {
    const { retry: policy, layers, log } = this.#options;
    const what = `layer ${layer.blobDigest} of ${client.endpoint.name}`;
    let refreshed = false;
    await withRetries({ policy, signal, log, what }, async () => {
      const source = await client.layerSource(layer.blobDigest, signal);
      try {
        await layers.apply({ ...layer, source, signal, onProgress });
      } catch (error) {
        if (error instanceof BlobStatusError && error.status === 401 && !refreshed) {
          // The token ended while the layer was waiting for a worker.
          refreshed = true;
          client.forgetToken();
          throw new UnavailableError(errorMessage(error), { cause: error });
        }
        throw error;
      }
    });
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

/** The last failure, with those before it in its cause. */
function last(failures: readonly unknown[]): unknown {
  const error = failures.at(-1) ?? new CancelledError("The pull was cancelled");
  if (failures.length > 1 && error instanceof Error) {
    error.cause ??= new AggregateError(failures.slice(0, -1), "Endpoints before it failed, too");
  }
  return error;
}
