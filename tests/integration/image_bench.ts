/**
 * An image store of its own for a test: real record, real layers, below a temporary directory.
 *
 * @module
 */
import { NodeProcessRunner } from "../../src/sys/mod.ts";
import {
  createImages,
  CredentialHelpers,
  imageDirectoryType,
  type ImageRecord,
  type ImagesOptions,
  type ImageStore,
  type PullRequest,
} from "../../src/image/mod.ts";
import { parsePolicy, type Policy } from "../../src/image/policy.ts";
import {
  ActiveFaultGates,
  DurableWriter,
  ImageState,
  JournalStepRunner,
  parseFaultSpec,
  ResourceTypes,
  Undoer,
} from "../../src/state/mod.ts";
import {
  createLayerStore,
  layerDirectoryType,
  LayerPaths,
  type LayerStack,
  type LayerStore,
  StorageWorkers,
} from "../../src/storage/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";

export interface ImageBenchOptions extends Omit<Partial<ImagesOptions>, "policy" | "authFiles"> {
  readonly policy?: Policy | (() => Promise<Policy>);
  /** The one file of credentials. */
  readonly authFile?: string;

  /** Text of registries.conf; see {@link insecure}. */
  readonly registriesConf?: string;
  /** Another bench's directory, whose store is opened again. */
  readonly directory?: string;
  /** As for the start flag `--fault-gates`. */
  readonly gates?: string;
}

export const ACCEPT_ANYTHING = parsePolicy(
  '{"default":[{"type":"insecureAcceptAnything"}]}',
  "/policy.json",
);

/** Retries that do not make tests slow. */
export const QUICK_RETRIES = { attempts: 3, firstDelayMs: 5, maxDelayMs: 2_000 };

const BOOT_ID = "boot-1";

export class ImageBench implements AsyncDisposable {
  private constructor(
    readonly directory: string,
    readonly root: string,
    readonly state: ImageState,
    readonly layers: LayerStore & LayerStack,
    readonly images: ImageStore,
    private readonly workers: StorageWorkers,
    private readonly writer: DurableWriter,
  ) {}

  static async open(options: ImageBenchOptions = {}): Promise<ImageBench> {
    const directory = options.directory ?? await Deno.makeTempDir({ prefix: "images-" });
    const root = `${directory}/root`;
    await Deno.mkdir(`${directory}/registries.conf.d`, { recursive: true });
    await Deno.mkdir(root, { recursive: true, mode: 0o700 });
    const registriesFile = `${directory}/registries.conf`;
    const registries = {
      files: [registriesFile],
      directories: [`${directory}/registries.conf.d`],
    };
    if (options.registriesConf !== undefined) {
      await Deno.writeTextFile(registriesFile, options.registriesConf);
    }
    const writer = new DurableWriter();
    const state = await ImageState.open({
      path: `${directory}/images.db`,
      bootId: BOOT_ID,
      writer,
    });
    const workers = new StorageWorkers({ unpackers: 2 });
    const { journal } = state;
    const types = new ResourceTypes()
      .register(layerDirectoryType(new LayerPaths(root), workers))
      .register(imageDirectoryType(root, state.images));
    const gates = options.gates === undefined
      ? {}
      : { gates: new ActiveFaultGates(parseFaultSpec(options.gates)) };
    const undoer = new Undoer({ journal, types, bootId: BOOT_ID, ...gates });
    const steps = new JournalStepRunner({ journal, undoer, ...gates });
    const rebuild = state.origin.kind === "created" || state.origin.kind === "damaged";
    const layers = await createLayerStore({
      root,
      layers: state.layers,
      journal,
      steps,
      workers,
      bootId: BOOT_ID,
      rebuild,
      log: silentLogger,
      whiteouts: "overlay",
    });
    const { policy = ACCEPT_ANYTHING } = options;
    const images = await createImages({
      root,
      table: state.images,
      journal,
      steps,
      layers,
      users: { containersUsing: () => [], layersInUse: () => Promise.resolve([]) },
      rebuild,
      registries,
      authFiles: options.authFile === undefined ? [] : [{ path: options.authFile, legacy: false }],
      credentialHelpers: new CredentialHelpers({ runner: new NodeProcessRunner(), env: {} }),
      pinned: () => [],
      certsDirectories: [],
      retry: QUICK_RETRIES,
      log: silentLogger,
      ...options,
      policy: typeof policy === "function" ? policy : () => Promise.resolve(policy),
    });
    return new ImageBench(directory, root, state, layers, images, workers, writer);
  }

  /** Ends the threads and keeps the files. */
  async close(): Promise<void> {
    await this.images[Symbol.asyncDispose]();
    this.workers[Symbol.dispose]();
    await this.writer[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await Deno.remove(this.directory, { recursive: true });
  }

  pull(reference: string, request: Partial<PullRequest> = {}): Promise<ImageRecord> {
    return this.images.pull({ reference, namespace: "", ...request });
  }

  /** Text of a file of the image, as a container would see it. */
  async read(top: Parameters<LayerStack["lowerDirectories"]>[0], path: string): Promise<string> {
    for (const directory of this.layers.lowerDirectories(top)) {
      try {
        return await Deno.readTextFile(`${directory}/${path}`);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    throw new Error(`There is no ${path}`);
  }

  /** What there is on disk and in the record that belongs to no image: names to tell them. */
  async leftovers(): Promise<string[]> {
    const images = this.images.all();
    const layers = new Set(images.flatMap((image) => image.layers.map((id) => id.slice(7))));
    const ids = new Set<string>(images.map(({ id }) => id));
    const owners = await this.state.journal.owners();
    return [
      ...names(`${this.root}/layers`).filter((name) => !layers.has(name)),
      ...names(`${this.root}/images`).filter((name) => !ids.has(name)),
      ...names(`${this.root}/loading`),
      ...owners.filter((owner) => !ids.has(owner) && !layers.has(owner.slice(7))),
      ...this.state.images.all().map(({ id }) => id).filter((id) => !ids.has(id)),
    ];
  }
}

/** A registries.conf that lets the given loopback addresses speak plain HTTP. */
export function insecure(...addresses: readonly string[]): string {
  return addresses.map((address) => `[[registry]]\nlocation = "${address}"\ninsecure = true\n`)
    .join("\n");
}

function names(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
