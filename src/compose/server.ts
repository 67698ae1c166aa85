/**
 * The object graph of the server, from the configuration to the socket.
 *
 * @module
 */
import {
  type Flavour,
  type LiveConfiguration,
  printConfiguration,
  publicView,
  withoutSecrets,
} from "../config/mod.ts";
import {
  CriServer,
  type HttpAnswer,
  imageMethods,
  imageTransferRoutes,
  inspectionRoutes,
  runtimeMethods,
} from "../cri/mod.ts";
import { SystemClock } from "../model/mod.ts";
import { OciRuntime } from "../runtime/mod.ts";
import { type FaultGates, recover, SpaceReserve } from "../state/mod.ts";
import {
  Cgroups,
  detectNodeFacts,
  type FileWatcher,
  lockDirectory,
  PrivateSystemd,
} from "../sys/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { POD_DEADLINES, type PodRegistry, type RecoveryReport } from "../pod/mod.ts";
import { NodeAppArmor } from "./app_armor.ts";
import { openImages } from "./images.ts";
import { openNetwork } from "./network.ts";
import { openMachine } from "./node.ts";
import { serverPaths } from "./paths.ts";
import { openPods, openRegistry } from "./pods.ts";
import { defaultMounts, hostFiles, podCgroups, specNodeFacts } from "./ports.ts";
import { openRecord, rebuildPods, type ServerRecord } from "./record.ts";
import { cgroupDriverOf, runtimeOptions } from "./runtime_options.ts";
import { openStreaming } from "./streaming.ts";
import { LiveSeccompProfiles } from "./seccomp_profiles.ts";

export interface ServerOptions {
  readonly live: LiveConfiguration;
  readonly flavour: Flavour;
  readonly version: string;
  readonly registriesConf: string | undefined;
  readonly registriesConfDir: string | undefined;
  readonly gates: FaultGates;
  readonly log: Logger;
}

/** For clients of streams to hear that the server stops; within the time that a stop may take. */
const STREAMS_GRACE_MS = 2_000;

/** A server that answers on its socket. Disposing drains and stops it; containers go on. */
export interface Server extends AsyncDisposable {
  readonly socket: string;
  /** For what is watched beside the pods. */
  readonly fileWatcher: FileWatcher;
}

/**
 * Opens everything in the order in which it depends on each other, compares the record with the
 * kernel, and listens.
 *
 * @throws {FailedPreconditionError} another server runs on the same root or socket; the node or the
 *   configuration does not allow a start: says what to do
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { live, flavour, version, gates, log } = options;
  // What needs a restart is read from here; what may change while the server runs, from `live`.
  const configuration = live.current;
  const clock = new SystemClock();
  await using undo = new AsyncDisposableStack();
  const paths = serverPaths(configuration, flavour);
  for (const path of [paths.root, paths.runRoot]) {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    await Deno.chmod(path, 0o700);
  }
  const machine = undo.use(openMachine());
  undo.use(lockDirectory(machine.kernel, paths.root));
  const facts = detectNodeFacts();
  const { bootId } = machine.processes;
  const units = new PrivateSystemd();
  const cgroups = new Cgroups({ kernel: machine.kernel, layout: facts.cgroups });
  const reserve = undo.use(
    new SpaceReserve({ path: paths.reserve, kernel: machine.kernel, log }),
  );
  const [record, runtime] = await Promise.all([
    openRecord({ paths, bootId, reserve, gates, log }),
    OciRuntime.open(runtimeOptions(configuration, paths), {
      kernel: machine.kernel,
      descriptors: machine.descriptors,
      cgroups,
      runner: machine.runner,
      orphans: machine.orphans,
      files: machine.fileWatcher,
      processes: machine.processes,
      processWatcher: machine.processWatcher,
      units,
      clock,
      log,
    }),
  ]);
  undo.use(record);
  undo.use(runtime);
  record.podTypes.register(runtime.resourceType());
  record.podTypes.register(runtime.pidHolderType());
  live.add({ prepare: (next) => runtime.prepare(runtimeOptions(next, paths)) });
  const seccomp = await LiveSeccompProfiles.open(configuration.runtime);
  live.add(seccomp);

  const network = undo.use(await openNetwork({ configuration, paths, machine, record, log }));

  await rebuildPods(record, log);
  await network.load();
  const opened = openRegistry(record, log);
  const { images, snapshots, removeLarge } = undo.use(
    await openImages({
      live,
      paths,
      machine,
      record,
      reserve,
      registry: opened.registry,
      registriesConf: options.registriesConf,
      registriesConfDir: options.registriesConfDir,
      log,
    }),
  );
  const appArmor = new NodeAppArmor({
    configured: configuration.runtime.apparmor_profile,
    runner: machine.runner,
    log,
  });
  const pods = undo.use(
    openPods({
      live,
      paths,
      machine,
      record,
      reserve,
      runtime,
      network,
      images,
      snapshots,
      cgroups: podCgroups(cgroups, units),
      defaultMounts: await defaultMounts(configuration.runtime.default_mounts_file, {
        kernel: machine.kernel,
        runner: machine.runner,
        timeoutMs: POD_DEADLINES.hostPathsMs,
        log,
      }),
      hostFiles: hostFiles(machine.kernel, machine.runner, POD_DEADLINES.hostPathsMs),
      node: specNodeFacts(facts, () => appArmor.defaultProfile()),
      removeLarge,
      appArmor,
      seccomp,
      clock,
      log,
    }, opened),
  );
  const report = await pods.recover();
  await recoverOrphans(record, pods.registry, report, log);
  await network.reconcile();
  log.info("Recovered", {
    sandboxes: report.sandboxes,
    containers: report.containers,
    unreadable: report.unreadable.length,
  });

  const streaming = undo.use(
    await openStreaming({
      api: configuration.api,
      service: pods.streams,
      machine,
      clock,
      log,
    }),
  );
  const server = undo.use(
    await CriServer.listen({
      listen: configuration.api.listen,
      runtime: runtimeMethods({
        streaming: { service: pods.streams, urls: streaming },
        sandboxes: pods.sandboxes,
        containers: pods.containers,
        events: pods.events,
        podCidrs: network.podCidrs,
        node: {
          runtimeObstacle: () => undefined,
          networkReadiness: () => network.health.readiness(),
          handlers: () => runtime.handlers(),
          cgroupDriver: () => cgroupDriverOf(configuration),
          features: () => ({
            supplementalGroupsPolicy: true,
            userNamespacesHostNetwork: false,
            mountOptions: true,
          }),
          configuration: () => publicView(live.current),
        },
        version,
      }),
      image: imageMethods({ images, snapshots, clock }),
      http: {
        ...imageTransferRoutes({ images, spoolDirectory: paths.incoming }),
        ...inspectionRoutes({
          containers: pods.containers,
          sandboxes: pods.sandboxes,
          configuration: () => printConfiguration(withoutSecrets(live.current), { flavour }),
          node: {
            storageDriver: configuration.base.storage_driver,
            storageRoot: paths.root,
            imageStore: configuration.base.imagestore,
            cgroupDriver: cgroupDriverOf(configuration),
          },
        }),
        "/v1/pending": () => pendingAnswer(record),
      },
      kernel: machine.kernel,
      log,
      clock,
      receiveLimitBytes: configuration.api.grpc_max_recv_msg_size,
      sendLimitBytes: configuration.api.grpc_max_send_msg_size,
    }),
  );
  void machine.runner.warmUp();
  void network.lookAfter((id) => pods.registry.sandbox(id)?.state.kind === "ready");
  const owned = undo.move();
  return {
    socket: server.path,
    fileWatcher: machine.fileWatcher,
    async [Symbol.asyncDispose](): Promise<void> {
      pods.events?.[Symbol.dispose]();
      // Sessions may be among the calls' own work, and end together with them.
      await Promise.all([server.stop(), streaming.stop(STREAMS_GRACE_MS)]);
      await owned.disposeAsync();
    },
  };
}

/** What could not be undone yet, one JSON line each; `sauropod check` shows it. */
function pendingAnswer({ podSteps, imageSteps }: ServerRecord): HttpAnswer {
  const pending = [...podSteps.pending.list(), ...imageSteps.pending.list()];
  return {
    contentType: "application/x-ndjson",
    body: pending.map((resource) => `${JSON.stringify(resource)}\n`).join(""),
  };
}

/** Undoes what belongs to no record: operations killed before their first commit of one, or after its last. */
async function recoverOrphans(
  { podSteps }: ServerRecord,
  registry: PodRegistry,
  { unreadable }: RecoveryReport,
  log: Logger,
): Promise<void> {
  const { journal, undoer } = podSteps;
  // Nobody knows what an unreadable record says: what it stands for may be running.
  const leftAlone = new Set(unreadable);
  await recover({
    journal,
    undoer,
    isCommitted: (owner) => registry.has(owner) || leftAlone.has(owner),
    log,
  });
}
