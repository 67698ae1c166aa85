/**
 * Pod networks through CNI plugins.
 *
 * @module
 */
import type { JsonObject, SandboxId } from "../model/mod.ts";
import type { NetworkSelection, SelectionAnnotation } from "./network_selection.ts";

export interface PortMapping {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly containerPort: number;
  readonly hostPort: number;
  /** Empty for all addresses. */
  readonly hostIp: string;
}

export interface AttachRequest {
  readonly sandboxId: SandboxId;
  readonly podName: string;
  readonly podNamespace: string;
  readonly podUid: string;
  /** Path of the pinned network namespace. */
  readonly netnsPath: string;
  readonly portMappings: readonly PortMapping[];
  readonly annotations: Readonly<Record<string, string>>;
  /** Cgroup parent of the pod, for the `cgroupPath` capability. */
  readonly cgroupParent: string;
  /** Ranges that the cluster gave the node, for the `ipRanges` capability; absent if it gave none. */
  readonly podCidrs?: readonly string[];
  /** What the pod asks for, for the capabilities `ips` and `mac`. */
  readonly selection?: NetworkSelection;
}

/** The chain that would be used for an attachment: chosen first, so that the intent can hold it. */
export interface ChosenNetwork {
  readonly name: string;
  /** The configuration list as it was read, needed for DEL even if the file has changed since. */
  readonly configuration: JsonObject;
}

export interface Attachment {
  readonly network: string;
  /** Addresses without prefix length, in the order of the result; the first is the pod's IP. */
  readonly ips: readonly string[];
  /** The CNI result as the plugins gave it, kept for DEL and CHECK. */
  readonly result: JsonObject;
}

export type NetworkReadiness =
  | { readonly ready: true }
  | { readonly ready: false; readonly reason: "NetworkPluginNotReady"; readonly message: string };

export interface Networks {
  readiness(): NetworkReadiness;
  /** The network a new pod gets. @throws {UnavailableError} none is configured: says where it looked */
  choose(): ChosenNetwork;
  /** Whether a plugin of the list opens host ports (capability `portMappings`). */
  opensHostPorts(network: ChosenNetwork): boolean;
  /**
   * What a pod asks of the network by annotation.
   *
   * @throws {InvalidArgumentError} the annotation is malformed or names another network
   * @throws {UnimplementedError} it asks for something else than addresses
   * @throws {FailedPreconditionError} no plugin of the network takes what it asks for
   */
  selection(network: ChosenNetwork, annotation: SelectionAnnotation): NetworkSelection;
  /**
   * ADD of each plugin of the list. After a failure the caller runs {@link Networks.detach}: half a
   * chain may have been added.
   *
   * @throws {UnavailableError} a plugin is missing or failed: names plugin, network and its message
   * @throws {DeadlineExceededError} `signal` fired
   */
  attach(network: ChosenNetwork, request: AttachRequest, signal: AbortSignal): Promise<Attachment>;
  /**
   * CHECK of each plugin, with the configuration and result of the ADD; nothing where the version has no
   * such command or the list says `disableCheck`.
   *
   * @throws {UnavailableError} the attachment is not as it was made: with the plugin's message
   */
  check(
    network: ChosenNetwork,
    request: AttachRequest,
    result: JsonObject,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * STATUS (CNI 1.1) of each plugin of the network that a new pod gets.
   *
   * @throws {UnavailableError} a plugin is not ready for ADD: with its message
   * @throws {DeadlineExceededError} `signal` fired
   */
  status(signal: AbortSignal): Promise<void>;
  /**
   * GC (CNI 1.1) of each plugin of the network that a new pod gets: they take away what is left of
   * attachments other than these. No ADD or DEL runs meanwhile.
   *
   * @param valid asked for once nothing else runs
   * @returns what each plugin that failed said
   */
  collectGarbage(
    valid: (network: string) => Promise<readonly SandboxId[]>,
    signal: AbortSignal,
  ): Promise<readonly string[]>;
  /**
   * DEL of each plugin in reverse order, with the configuration and result of the ADD. May be
   * repeated; succeeds for what is gone. `netnsPath` is empty when the namespace no longer exists.
   */
  detach(
    network: ChosenNetwork,
    request: AttachRequest,
    result: JsonObject | undefined,
    signal: AbortSignal,
  ): Promise<void>;
}
