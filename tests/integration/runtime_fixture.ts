/**
 * A real runtime room below a temporary directory: runc, conmon, busybox. Disposing removes every
 * container, cgroup and file that came of it.
 *
 * @module
 */
import { type JsonObject, newContainerId, SystemClock } from "../../src/model/mod.ts";
import {
  type ContainerExit,
  type ContainerPlace,
  type CreatedContainer,
  OciRuntime,
  type RuntimeHandlerOptions,
  type RuntimeOptions,
  type RuntimePorts,
} from "../../src/runtime/mod.ts";
import {
  ByteDescriptors,
  Cgroups,
  createLinuxKernel,
  detectNodeFacts,
  InotifyWatcher,
  type Kernel,
  NodeProcessRunner,
  PidfdWatcher,
  PosixSpawner,
  PrivateSystemd,
  type ProcessTable,
  ProcTable,
} from "../../src/sys/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { makeBusyboxRootfs, minimalProcess, minimalSpec } from "./busybox_rootfs.ts";

/** Guards against a hang, ten times what the slowest step takes. */
export const HANG_MS = 60_000;

export interface TestContainer {
  readonly place: ContainerPlace;
  readonly created: CreatedContainer;
  /** Resolves with the container's end, as the runtime tells it. */
  readonly exited: Promise<ContainerExit>;
}

export interface ContainerRequest {
  readonly args: readonly string[];
  readonly terminal?: boolean;
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
  readonly memoryLimitBytes?: number;
  readonly env?: readonly string[];
  /** Do not start it, or do not even watch it. */
  readonly stopAt?: "created" | "unwatched";
}

/** runc with its state below `root`. */
export function runcHandler(
  root: string,
  overrides: Partial<RuntimeHandlerOptions> = {},
): RuntimeHandlerOptions {
  return {
    name: "runc",
    runtimeType: "oci",
    runtimePath: "",
    runtimeRoot: `${root}/runc`,
    monitorPath: "",
    monitorEnv: [],
    monitorCgroup: "",
    createTimeoutMs: HANG_MS,
    noSyncLog: false,
    ...overrides,
  };
}

export class RuntimeFixture implements AsyncDisposable {
  readonly #places: ContainerPlace[] = [];
  readonly #watches = new DisposableStack();

  private constructor(
    readonly root: string,
    readonly kernel: Kernel,
    readonly processes: ProcessTable,
    readonly runtime: OciRuntime,
    readonly options: RuntimeOptions,
    readonly cgroupParent: string,
    private readonly own: DisposableStack,
    /** Another runtime over the same containers, as the next life of the server has. */
    readonly reopen: () => Promise<OciRuntime>,
  ) {}

  static async open(
    overrides: Partial<RuntimeOptions> = {},
    kernel: Kernel = createLinuxKernel(),
  ): Promise<RuntimeFixture> {
    const root = await Deno.makeTempDir({ prefix: "sauropod-runtime-" });
    await makeBusyboxRootfs(`${root}/rootfs`);
    const own = new DisposableStack();
    const processes = new ProcTable(kernel);
    const options: RuntimeOptions = {
      defaultHandler: "runc",
      handlers: [runcHandler(root)],
      exitsDir: `${root}/exits`,
      attachSocketDir: `${root}/attach`,
      execDir: `${root}/exec`,
      logLevel: "warn",
      logSizeMaxBytes: -1,
      noPivot: false,
      environment: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      ...overrides,
    };
    const ports: RuntimePorts = {
      kernel,
      descriptors: own.use(new ByteDescriptors(kernel)),
      cgroups: new Cgroups({ kernel, layout: detectNodeFacts().cgroups }),
      runner: new NodeProcessRunner(),
      orphans: own.use(new PosixSpawner(kernel)),
      files: own.use(new InotifyWatcher(kernel)),
      processes,
      processWatcher: own.use(new PidfdWatcher({ kernel, processes })),
      units: new PrivateSystemd(),
      clock: new SystemClock(),
      log: silentLogger,
    };
    const opened = OciRuntime.open(options, ports);
    const runtime = own.use(
      await opened.catch(async (error: unknown) => {
        own.dispose();
        await Deno.remove(root, { recursive: true });
        throw error;
      }),
    );
    const cgroupParent = `/sauropod-test-${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
    const reopen = () => OciRuntime.open(options, ports);
    return new RuntimeFixture(root, kernel, processes, runtime, options, cgroupParent, own, reopen);
  }

  /** A place for a container, with its bundle written. */
  async place(request: ContainerRequest): Promise<ContainerPlace> {
    const id = newContainerId();
    const place: ContainerPlace = {
      id,
      bundle: `${this.root}/bundles/${id}`,
      logPath: `${this.root}/logs/${id}.log`,
      handler: "runc",
      cgroupPath: `${this.cgroupParent}/sauropod-${id}`,
    };
    for (const directory of [place.bundle, `${this.root}/logs`]) {
      await Deno.mkdir(directory, { recursive: true });
    }
    const { memoryLimitBytes, env } = request;
    await Deno.writeTextFile(
      `${place.bundle}/config.json`,
      JSON.stringify(minimalSpec({
        rootfs: `${this.root}/rootfs`,
        args: request.args,
        cgroupPath: place.cgroupPath,
        terminal: request.terminal ?? false,
        ...(env === undefined ? {} : { env }),
        ...(memoryLimitBytes === undefined ? {} : { memoryLimitBytes }),
      })),
    );
    this.#places.push(place);
    return place;
  }

  /** Creates, watches and starts a container. */
  async run(request: ContainerRequest): Promise<TestContainer> {
    const place = await this.place(request);
    const signal = AbortSignal.timeout(HANG_MS);
    const created = await this.runtime.create({
      place,
      name: "test",
      terminal: request.terminal ?? false,
      stdin: request.stdin ?? false,
      stdinOnce: request.stdinOnce ?? false,
    }, signal);
    const exited = request.stopAt === "unwatched"
      ? new Promise<never>(() => {})
      : this.watch(place, created);
    if (request.stopAt === undefined) await this.runtime.start(place, signal);
    return { place, created, exited };
  }

  watch(place: ContainerPlace, created: CreatedContainer): Promise<ContainerExit> {
    const { promise, resolve } = Promise.withResolvers<ContainerExit>();
    this.#watches.use(this.runtime.watchExit(place, created, resolve));
    return promise;
  }

  process(args: readonly string[]): JsonObject {
    return minimalProcess({ args });
  }

  remove(place: ContainerPlace): Promise<void> {
    return this.runtime.remove(place, AbortSignal.timeout(HANG_MS));
  }

  /** Lines of the container's log: stream, tag and content. */
  async log(place: ContainerPlace): Promise<string[]> {
    const text = await Deno.readTextFile(place.logPath);
    return text.split("\n").slice(0, -1).map((line) => line.slice(line.indexOf(" ") + 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watches.dispose();
    for (const place of this.#places) await this.remove(place);
    this.own.dispose();
    for (const { name } of Deno.readDirSync("/sys/fs/cgroup")) {
      try {
        Deno.removeSync(`/sys/fs/cgroup/${name}${this.cgroupParent}`);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    await Deno.remove(this.root, { recursive: true });
  }
}
