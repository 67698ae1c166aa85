/**
 * The processes that hold the PID namespaces of pods: their bundles, and what their end means.
 *
 * @module
 */
import { buildPidHolderSpec, encodeSpec, type NodeFacts, type SeccompProfile } from "../oci/mod.ts";
import { containerCgroup, type SandboxId, specCgroupsPath } from "../model/mod.ts";
import type { ContainerRuntime, PidHolderPlace } from "../runtime/mod.ts";
import type { Intent, StepRunner } from "../state/steps.ts";
import type { Namespaces } from "../sys/namespaces.ts";
import type { ProcessIdentity, ProcessTable, ProcessWatcher } from "../sys/watching.ts";
import { FailedPreconditionError } from "../errors/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { PodLayout } from "./layout.ts";
import type { KeyedMutex } from "./mutex.ts";
import type { PodRegistry } from "./registry.ts";
import { sandboxIn, sandboxIps, type SandboxRecord } from "./sandbox.ts";

const FAIL = "fail-pod-sandbox";

export interface PidHoldersOptions {
  readonly layout: PodLayout;
  readonly registry: PodRegistry;
  readonly runner: StepRunner;
  readonly mutex: KeyedMutex;
  readonly runtime: Pick<ContainerRuntime, "pidHolderIntent" | "startPidHolder">;
  readonly namespaces: Pick<Namespaces, "pinPid">;
  readonly processes: Pick<ProcessTable, "isAlive">;
  readonly processWatcher: Pick<ProcessWatcher, "watchExit">;
  /** Path of catatonit. @throws {FailedPreconditionError} the node has none */
  readonly findProgram: () => string;
  readonly node: NodeFacts;
  /** Profile of a handler for RuntimeDefault; undefined for the one built in. */
  readonly seccomp: (handler: string) => SeccompProfile | undefined;
  readonly log: Logger;
}

export class PidHolders implements Disposable {
  readonly #options: PidHoldersOptions;
  readonly #watches = new Map<SandboxId, Disposable>();

  constructor(options: PidHoldersOptions) {
    this.#options = options;
  }

  /** @throws {FailedPreconditionError} this node cannot hold a PID namespace */
  assertAvailable(): void {
    this.#options.findProgram();
  }

  /** What to commit before {@link start}. */
  intent(record: SandboxRecord): Intent {
    return this.#options.runtime.pidHolderIntent(this.#place(record));
  }

  /** Starts the first process of a pod's PID namespace. */
  async start(record: SandboxRecord, signal: AbortSignal): Promise<ProcessIdentity> {
    const { node, seccomp, findProgram, runtime } = this.#options;
    const place = this.#place(record);
    const rootfs = `${place.bundle}/rootfs`;
    const { net, ipc, uts } = record.namespaces;
    const spec = buildPidHolderSpec({
      sandboxId: record.id,
      rootfs,
      program: findProgram(),
      namespaces: { net, ipc, uts },
      cgroupPath: specCgroupsPath(place.cgroupPath),
      node,
      seccomp: seccomp(record.handler),
    });
    // Reached by the holder itself, who is nobody here: the way to it is private all the same.
    await Deno.mkdir(rootfs, { recursive: true, mode: 0o755 });
    await Deno.writeTextFile(`${place.bundle}/config.json`, encodeSpec(spec), { mode: 0o600 });
    return await runtime.startPidHolder(place, signal);
  }

  /** Pins the namespace, so that containers join it by its path and never by a pid. */
  async pin(record: SandboxRecord, path: string, holder: ProcessIdentity): Promise<void> {
    const { namespaces, processes } = this.#options;
    await namespaces.pinPid({ pid: holder.pid, path });
    if (processes.isAlive(holder)) return;
    throw new FailedPreconditionError(
      `The process that holds the PID namespace of sandbox ${record.id} ended at once`,
      { id: record.id },
    );
  }

  /**
   * Watches the holder of a ready sandbox: when it ends, the kernel ends everything in its namespace,
   * and the sandbox is no longer ready. The kubelet then stops it and runs another.
   */
  watch(record: SandboxRecord): void {
    if (record.state.kind !== "ready" || record.state.pidHolder === undefined) return;
    const { id } = record;
    const { processWatcher, log } = this.#options;
    this.forget(id);
    this.#watches.set(
      id,
      processWatcher.watchExit(record.state.pidHolder, () => {
        this.#watches.delete(id);
        this.#fail(id).catch((error: unknown) => {
          log.error("The end of a pod's PID namespace could not be recorded", { id, error });
        });
      }),
    );
  }

  /** Ends the watch of a sandbox that is being stopped. */
  forget(id: SandboxId): void {
    this.#watches.get(id)?.[Symbol.dispose]();
    this.#watches.delete(id);
  }

  /** For recovery: false if the holder of a ready sandbox ended while nobody watched. */
  isHeld({ state }: SandboxRecord): boolean {
    return state.kind !== "ready" || state.pidHolder === undefined ||
      this.#options.processes.isAlive(state.pidHolder);
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
    this.#watches.clear();
  }

  async #fail(id: SandboxId): Promise<void> {
    const { registry, runner, mutex, log } = this.#options;
    using _ = await mutex.acquire(id);
    const record = registry.sandbox(id);
    if (record?.state.kind !== "ready") return;
    await runner.commit(FAIL, "failed", () => registry.putSandbox(failed(record)));
    log.warn("The process that holds a pod's PID namespace has ended, and the pod with it", { id });
  }

  #place({ id, handler, cgroupParent }: SandboxRecord): PidHolderPlace {
    return {
      id,
      bundle: this.#options.layout.pidHolder(id),
      handler,
      cgroupPath: containerCgroup(cgroupParent, id),
    };
  }
}

/** A ready sandbox whose PID namespace has ended. */
export function failed(record: SandboxRecord): SandboxRecord {
  return sandboxIn(record, { kind: "failed", ips: sandboxIps(record) });
}
