/**
 * The RuntimeService: validates, calls the domain, answers.
 *
 * @module
 */
import { refuseUnsupportedContainer, refuseUnsupportedSandbox } from "../oci/mod.ts";
import type { ContainerService, EventService, SandboxService } from "../pod/service.ts";
import { EncodedList } from "./encoded_list.ts";
import { required } from "./field_checks.ts";
import { STREAM_MESSAGE } from "./limits.ts";
import { type RuntimeMethods, unimplemented } from "./methods.ts";
import { type NodeFacts, runtimeConfigResponse, statusResponse } from "./node_status.ts";
import { streamingMethods, type StreamingOptions } from "./streaming_methods.ts";
import { validateArguments, validateCreateContainer } from "./validate_container.ts";
import {
  validateContainerFilter,
  validateId,
  validateSandboxFilter,
  validateTimeoutMs,
} from "./validate_references.ts";
import {
  validateUpdateContainerResources,
  validateUpdatePodSandboxResources,
} from "./validate_resources.ts";
import { validateRunPodSandbox } from "./validate_sandbox.ts";

export interface RuntimeServiceOptions {
  readonly streaming: StreamingOptions;
  readonly sandboxes: SandboxService;
  readonly containers: ContainerService;
  /** Undefined unless `enable_pod_events` is set. */
  readonly events: EventService | undefined;
  readonly node: NodeFacts;
  readonly podCidrs: {
    /** @throws {InvalidArgumentError} it is no list of ranges with commas */
    update(podCidr: string): Promise<void>;
  };
  /** Of this program: `1.37.0-dev`. */
  readonly version: string;
}

/** The version of the kubelet's runtime API, which has never been another. */
const KUBE_API_VERSION = "0.1.0";
const RUNTIME_NAME = "sauropod";
const RUNTIME_API_VERSION = "v1";

/** Number of the repeated field of all list and stream answers. */
const ITEMS = 1;

export function runtimeMethods(options: RuntimeServiceOptions): RuntimeMethods {
  return {
    ...nodeMethods(options),
    ...sandboxMethods(options.sandboxes),
    ...containerMethods(options.containers),
    ...streamingMethods(options.streaming),
    ...eventMethods(options.events),
    ...LATER,
  };
}

/** A stream that ends at once where there are no events, as CRI-O's does; the log says why. */
function eventMethods(
  events: EventService | undefined,
): Pick<RuntimeMethods, "getContainerEvents"> {
  return {
    getContainerEvents(_request, { signal, log }) {
      if (events !== undefined) return events.read(signal);
      log.warn("There are no events to read: enable_pod_events is false");
      return [];
    },
  };
}

type NodeMethod = "version" | "status" | "runtimeConfig" | "updateRuntimeConfig";

function nodeMethods(
  { node, podCidrs, version }: RuntimeServiceOptions,
): Pick<RuntimeMethods, NodeMethod> {
  return {
    version: () => ({
      version: KUBE_API_VERSION,
      runtimeName: RUNTIME_NAME,
      runtimeVersion: version,
      runtimeApiVersion: RUNTIME_API_VERSION,
    }),
    status: ({ verbose }) => statusResponse(node, verbose),
    runtimeConfig: () => runtimeConfigResponse(node),
    async updateRuntimeConfig({ runtimeConfig }) {
      await podCidrs.update(runtimeConfig?.networkConfig?.podCidr ?? "");
      return {};
    },
  };
}

type SandboxMethod =
  | "runPodSandbox"
  | "stopPodSandbox"
  | "removePodSandbox"
  | "podSandboxStatus"
  | "listPodSandbox"
  | "streamPodSandboxes"
  | "updatePodSandboxResources";

function sandboxMethods(sandboxes: SandboxService): Pick<RuntimeMethods, SandboxMethod> {
  return {
    async runPodSandbox(request) {
      const config = validateRunPodSandbox(request);
      refuseUnsupportedSandbox("config", config);
      const { runtimeHandler } = request;
      return { podSandboxId: await sandboxes.run({ config, runtimeHandler }) };
    },
    async stopPodSandbox({ podSandboxId }) {
      await sandboxes.stop(validateId("pod_sandbox_id", podSandboxId));
      return {};
    },
    async removePodSandbox({ podSandboxId }) {
      await sandboxes.remove(validateId("pod_sandbox_id", podSandboxId));
      return {};
    },
    podSandboxStatus: ({ podSandboxId, verbose }) =>
      sandboxes.status(validateId("pod_sandbox_id", podSandboxId), verbose),
    listPodSandbox({ filter }) {
      validateSandboxFilter(filter);
      return new EncodedList(ITEMS, sandboxes.list(filter));
    },
    streamPodSandboxes({ filter }) {
      validateSandboxFilter(filter);
      return new EncodedList(ITEMS, sandboxes.list(filter)).chunks(STREAM_MESSAGE);
    },
    async updatePodSandboxResources(request) {
      const { podSandboxId, ...resources } = validateUpdatePodSandboxResources(request);
      await sandboxes.updateResources(podSandboxId, resources);
      return {};
    },
  };
}

type ContainerMethod =
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "removeContainer"
  | "listContainers"
  | "streamContainers"
  | "containerStatus"
  | "execSync"
  | "updateContainerResources"
  | "reopenContainerLog";

function containerMethods(containers: ContainerService): Pick<RuntimeMethods, ContainerMethod> {
  return {
    async createContainer(request) {
      const config = validateCreateContainer(request);
      refuseUnsupportedContainer("config", config);
      return { containerId: await containers.create({ sandbox: request.podSandboxId, config }) };
    },
    async startContainer({ containerId }) {
      await containers.start(validateId("container_id", containerId));
      return {};
    },
    async stopContainer({ containerId, timeout }) {
      const id = validateId("container_id", containerId);
      await containers.stop(id, validateTimeoutMs("timeout", timeout));
      return {};
    },
    async removeContainer({ containerId }) {
      await containers.remove(validateId("container_id", containerId));
      return {};
    },
    listContainers({ filter }) {
      validateContainerFilter(filter);
      return new EncodedList(ITEMS, containers.list(filter));
    },
    streamContainers({ filter }) {
      validateContainerFilter(filter);
      return new EncodedList(ITEMS, containers.list(filter)).chunks(STREAM_MESSAGE);
    },
    containerStatus: ({ containerId, verbose }) =>
      containers.status(validateId("container_id", containerId), verbose),
    async execSync({ containerId, cmd, timeout }) {
      const id = validateId("container_id", containerId);
      required("cmd", cmd[0]);
      validateArguments("cmd", cmd);
      return await containers.execSync(id, cmd, validateTimeoutMs("timeout", timeout));
    },
    async updateContainerResources(request) {
      const { containerId, linux } = validateUpdateContainerResources(request);
      if (linux !== undefined) await containers.updateResources(containerId, linux);
      return {};
    },
    async reopenContainerLog({ containerId }) {
      await containers.reopenLog(validateId("container_id", containerId));
      return {};
    },
  };
}

const STATISTICS =
  "statistics come later; until then the kubelet evicts no pod for want of memory or disk";
const CHECKPOINT = "leave it out; checkpoint and restore come later";

/** Methods that are registered, and refused by name until they are built. */
const LATER = {
  containerStats: unimplemented("ContainerStats", STATISTICS),
  listContainerStats: unimplemented("ListContainerStats", STATISTICS),
  streamContainerStats: unimplemented("StreamContainerStats", STATISTICS),
  podSandboxStats: unimplemented("PodSandboxStats", STATISTICS),
  listPodSandboxStats: unimplemented("ListPodSandboxStats", STATISTICS),
  streamPodSandboxStats: unimplemented("StreamPodSandboxStats", STATISTICS),
  listMetricDescriptors: unimplemented("ListMetricDescriptors", STATISTICS),
  listPodSandboxMetrics: unimplemented("ListPodSandboxMetrics", STATISTICS),
  streamPodSandboxMetrics: unimplemented("StreamPodSandboxMetrics", STATISTICS),
  checkpointContainer: unimplemented("CheckpointContainer", CHECKPOINT),
  checkpointPod: unimplemented("CheckpointPod", CHECKPOINT),
  restorePod: unimplemented("RestorePod", CHECKPOINT),
} satisfies Partial<RuntimeMethods>;
