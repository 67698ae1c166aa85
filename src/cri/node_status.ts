/**
 * What Status, RuntimeConfig and ImageFsInfo tell about the node.
 *
 * @module
 */
import type { NetworkReadiness } from "../network/networks.ts";
import type { RuntimeHandlerInfo } from "../runtime/containers_runtime.ts";
import type { JsonObject } from "../model/mod.ts";
import {
  CgroupDriver,
  type RuntimeCondition,
  type RuntimeConfigResponse,
  type RuntimeHandler,
  type StatusResponse,
} from "../proto/mod.ts";

/** A thing the node cannot do at the moment, for the condition that it concerns. */
export interface Obstacle {
  /** One word in camel case: `RecoveryUnderWay`. */
  readonly reason: string;
  readonly message: string;
}

/** The facts behind the answers; asked at each call, so they must be at hand unless it says otherwise. */
export interface NodeFacts {
  /** Undefined if pods can be run, as far as this process goes. */
  runtimeObstacle(): Obstacle | undefined;
  /** Plugins may be asked for it; answers within seconds. */
  networkReadiness(): Promise<NetworkReadiness>;
  handlers(): readonly RuntimeHandlerInfo[];
  cgroupDriver(): "cgroupfs" | "systemd";
  /** What works on this node, measured and not hoped for. */
  features(): {
    readonly supplementalGroupsPolicy: boolean;
    readonly userNamespacesHostNetwork: boolean;
    readonly mountOptions: boolean;
  };
  /** For a verbose Status: the configuration in effect, without secrets. */
  configuration(): JsonObject;
}

export async function statusResponse(node: NodeFacts, verbose: boolean): Promise<StatusResponse> {
  return {
    status: { conditions: [runtimeCondition(node), await networkCondition(node)] },
    runtimeHandlers: runtimeHandlers(node.handlers()),
    features: node.features(),
    info: verbose ? { config: JSON.stringify(node.configuration()) } : {},
  };
}

export function runtimeConfigResponse(node: NodeFacts): RuntimeConfigResponse {
  const cgroupDriver = node.cgroupDriver() === "systemd"
    ? CgroupDriver.SYSTEMD
    : CgroupDriver.CGROUPFS;
  return { linux: { cgroupDriver } };
}

function runtimeCondition(node: NodeFacts): RuntimeCondition {
  const obstacle = node.runtimeObstacle();
  return {
    type: "RuntimeReady",
    status: obstacle === undefined,
    reason: obstacle?.reason ?? "",
    message: obstacle?.message ?? "",
  };
}

async function networkCondition(node: NodeFacts): Promise<RuntimeCondition> {
  const readiness = await node.networkReadiness();
  return {
    type: "NetworkReady",
    status: readiness.ready,
    reason: readiness.ready ? "" : readiness.reason,
    message: readiness.ready ? "" : readiness.message,
  };
}

/** By name; the default once more without one, which is what a pod without a runtime class gets. */
function runtimeHandlers(handlers: readonly RuntimeHandlerInfo[]): RuntimeHandler[] {
  const sorted = handlers.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const preset = sorted.filter(({ isDefault }) => isDefault);
  return [
    ...preset.map((handler) => runtimeHandler("", handler)),
    ...sorted.map((handler) => runtimeHandler(handler.name, handler)),
  ];
}

function runtimeHandler(name: string, info: RuntimeHandlerInfo): RuntimeHandler {
  return {
    name,
    features: {
      recursiveReadOnlyMounts: info.recursiveReadOnlyMounts,
      userNamespaces: info.userNamespaces,
    },
  };
}
