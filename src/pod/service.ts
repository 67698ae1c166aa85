/**
 * What the domain offers to the CRI adapters and the command line, in terms of the CRI's own
 * messages and never of gRPC.
 *
 * @module
 */
import type {
  ContainerConfig,
  ContainerEventResponse,
  ContainerFilter,
  ContainerStatusResponse,
  LinuxContainerResources,
  PodSandboxConfig,
  PodSandboxFilter,
  PodSandboxStatusResponse,
} from "../proto/mod.ts";
import type { ContainerId, SandboxId } from "../model/mod.ts";
import type { SandboxResources } from "./sandbox.ts";
import type { ExecResult } from "../runtime/containers_runtime.ts";

/** A list answer made of messages that are kept encoded: each entry is one `PodSandbox` or `Container`. */
export type EncodedItems = readonly Uint8Array[];

export interface RunSandboxRequest {
  readonly config: PodSandboxConfig;
  /** Empty for the default handler. */
  readonly runtimeHandler: string;
}

export interface CreateContainerRequest {
  /** Id or unique prefix. */
  readonly sandbox: string;
  readonly config: ContainerConfig;
}

/**
 * Pod sandboxes. Requests have passed the edge's validation. No method stops its work when the
 * caller leaves: each stage has its own deadline, and a repeated call joins the one under way.
 *
 * Ids are full or a unique prefix: a prefix that fits two is an InvalidArgumentError.
 */
export interface SandboxService {
  /**
   * Joins an identical run under way; returns the id of an identical sandbox that is ready.
   *
   * @throws {AlreadyExistsError} the name is taken by a sandbox with other content or no longer
   *   ready; names its id
   */
  run(request: RunSandboxRequest): Promise<SandboxId>;
  /** Containers, then network, then namespaces. Succeeds for an unknown id. */
  stop(id: string): Promise<void>;
  /** Stops first. Succeeds for an unknown id. */
  remove(id: string): Promise<void>;
  /** @throws {NotFoundError} no such sandbox */
  status(id: string, verbose: boolean): PodSandboxStatusResponse;
  list(filter: PodSandboxFilter | undefined): EncodedItems;
  /**
   * Takes note of what the pod may use from now on, which the kubelet sets at the pod's cgroup itself.
   * What is left out stays as it is.
   *
   * @throws {NotFoundError} no such sandbox
   * @throws {FailedPreconditionError} it is not ready
   */
  updateResources(id: string, resources: SandboxResources): Promise<void>;
}

/** Containers, under the same rules as {@link SandboxService}. */
export interface ContainerService {
  create(request: CreateContainerRequest): Promise<ContainerId>;
  /** @throws {FailedPreconditionError} it is not in the state created; says in which it is */
  start(id: string): Promise<void>;
  /** `timeoutMs` until the kill; a repeated call can only shorten it. Succeeds for an unknown id. */
  stop(id: string, timeoutMs: number): Promise<void>;
  /** Stops first. Succeeds for an unknown id. */
  remove(id: string): Promise<void>;
  /** @throws {NotFoundError} no such container */
  status(id: string, verbose: boolean): ContainerStatusResponse;
  list(filter: ContainerFilter | undefined): EncodedItems;
  /** `timeoutMs` 0 for none. @throws {DeadlineExceededError} it took longer */
  execSync(id: string, args: readonly string[], timeoutMs: number): Promise<ExecResult>;
  /**
   * Zero and empty fields keep what is, -1 takes a limit away.
   *
   * @throws {FailedPreconditionError} it is neither created nor running, uses more memory than the new
   *   limit, or the kernel refuses a value; nothing is changed then
   */
  updateResources(id: string, resources: LinuxContainerResources): Promise<void>;
  /**
   * Waits for no stop, start or update of the container; calls at the same time join.
   *
   * @throws {FailedPreconditionError} it has ended; says so
   */
  reopenLog(id: string): Promise<void>;
}

/** What happens to pods and containers, as it happens. */
export interface EventService {
  /**
   * Every event from this call on, in order. A reader that is slow is told less of the past, but of
   * every end; one that is too far behind is ended with a ResourceExhaustedError. Several may read.
   *
   * @param signal ends it and lets go of what is not read yet
   */
  read(signal: AbortSignal): AsyncIterable<ContainerEventResponse>;
}
