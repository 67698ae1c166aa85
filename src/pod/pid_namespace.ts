/**
 * Which PID namespace a container is in: one of its own, its pod's, the node's, or another container's.
 *
 * @module
 */
import {
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  shown,
} from "../errors/mod.ts";
import { type ContainerConfig, NamespaceMode } from "../proto/mod.ts";
import { type ContainerRecord, isLive, type LiveContainer } from "./container.ts";
import type { PodNamespace, SandboxRecord } from "./sandbox.ts";

export type ContainerPidNamespace =
  | PodNamespace
  | { readonly kind: "container" }
  /** Another container's own, pinned for as long as this one lives. */
  | { readonly kind: "target"; readonly target: LiveContainer; readonly path: string };

const FIELD = "config.linux.security_context.namespace_options";

/** What a container of a pod is, as far as its PID namespace is concerned. */
type Member = {
  readonly config: ContainerConfig;
  readonly sandbox: Pick<SandboxRecord, "id" | "namespaces">;
};

/**
 * True if the container's first process is the first of a PID namespace, too, so that the kernel ends
 * all others with it.
 */
export function ownsPidNamespace({ config, sandbox }: Member): boolean {
  const options = config.linux?.securityContext?.namespaceOptions;
  return options === undefined
    ? sandbox.namespaces.pid.kind === "container"
    : options.pid === NamespaceMode.CONTAINER;
}

/**
 * A container without options of its own has what its pod was asked for. POD is the PID namespace that
 * the pod's containers share, which is the node's in a pod that is in the node's.
 *
 * @throws {NotFoundError} there is no such target
 * @throws {InvalidArgumentError} the target is in another pod
 * @throws {FailedPreconditionError} the target does not run; the pod has no PID namespace to share, or
 *   is not in the node's
 */
export function pidNamespaceOf(
  { config, sandbox }: Member,
  { find, pin }: {
    /** A container by its id or the beginning of it. */
    readonly find: (id: string) => ContainerRecord | undefined;
    /** Where the namespace of a target is to be pinned. */
    readonly pin: string;
  },
): ContainerPidNamespace {
  const ofPod = sandbox.namespaces.pid;
  const options = config.linux?.securityContext?.namespaceOptions;
  if (options === undefined) return ofPod;
  switch (options.pid) {
    case NamespaceMode.CONTAINER:
      return { kind: "container" };
    case NamespaceMode.POD:
      if (ofPod.kind !== "container") return ofPod;
      throw new FailedPreconditionError(
        `The container is in its pod's PID namespace, but sandbox ${sandbox.id} has none`,
        {
          id: sandbox.id,
          field: `${FIELD}.pid`,
          value: "POD",
          remedy: "run the sandbox with pid: POD (shareProcessNamespace: true), or use CONTAINER",
        },
      );
    case NamespaceMode.NODE:
      if (ofPod.kind === "host") return ofPod;
      throw new FailedPreconditionError(
        `The container is in the node's PID namespace, but its sandbox ${sandbox.id} is not`,
        {
          id: sandbox.id,
          field: `${FIELD}.pid`,
          value: "NODE",
          remedy: "ask for it in the sandbox, too",
        },
      );
    case NamespaceMode.TARGET:
      return namespaceOfTarget(targetOf(options.targetId, sandbox, find), sandbox, pin);
    default:
      throw new InvalidArgumentError(`${FIELD}.pid ${options.pid} is no mode of a namespace`, {
        field: `${FIELD}.pid`,
        value: String(options.pid),
      });
  }
}

function targetOf(
  id: string,
  sandbox: Member["sandbox"],
  find: (id: string) => ContainerRecord | undefined,
): LiveContainer {
  const field = `${FIELD}.target_id`;
  const target = find(id);
  if (target === undefined) {
    throw new NotFoundError(`There is no container ${shown(id)} to share a PID namespace with`, {
      field,
      value: id,
      remedy: "name a running container of the same pod",
    });
  }
  if (target.sandboxId !== sandbox.id) {
    throw new InvalidArgumentError(
      `Container ${target.id} is in sandbox ${target.sandboxId}, not in ${sandbox.id}`,
      { field, value: id, remedy: "name a running container of the same pod" },
    );
  }
  if (isLive(target) && target.state.kind === "running") return target;
  throw targetEnded(target);
}

function namespaceOfTarget(
  target: LiveContainer,
  sandbox: Member["sandbox"],
  path: string,
): ContainerPidNamespace {
  const options = target.config.linux?.securityContext?.namespaceOptions;
  const inPods = options === undefined || options.pid === NamespaceMode.POD;
  const inNodes = options?.pid === NamespaceMode.NODE;
  const ofPod = sandbox.namespaces.pid;
  // What does not end with the target need not be pinned.
  if ((inPods || inNodes) && ofPod.kind !== "container") return ofPod;
  return { kind: "target", target, path };
}

/** The error of a container whose target cannot be joined (any more). */
export function targetEnded(target: ContainerRecord): FailedPreconditionError {
  return new FailedPreconditionError(
    `Container ${target.id} is ${
      target.state.kind === "running" ? "ending" : target.state.kind
    }: its PID namespace cannot be joined`,
    {
      id: target.id,
      field: `${FIELD}.target_id`,
      value: target.id,
      remedy: "name a running container of the same pod",
    },
  );
}
