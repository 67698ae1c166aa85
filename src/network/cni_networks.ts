/**
 * {@link Networks} by CNI: a list's plugins in order for ADD, in reverse for DEL (specification
 * section 3).
 *
 * @module
 */
import {
  errorMessage,
  InvalidArgumentError,
  isErrno,
  shown,
  UnavailableError,
} from "../errors/mod.ts";
import type { JsonObject, SandboxId } from "../model/mod.ts";
import { type Kernel, NSFS_MAGIC } from "../sys/mod.ts";
import { type CapabilityArgs, capabilityArgs, runtimeConfigOf } from "./capability_args.ts";
import type { CniConfig } from "./cni_config.ts";
import { type AttachmentCommand, CNI_INTERFACE, type CniExec } from "./cni_exec.ts";
import { type CniList, type CniPlugin, isAtLeast, parseCniList } from "./cni_list.ts";
import { parseResult } from "./cni_result.ts";
import {
  type NetworkSelection,
  networkSelection,
  type SelectionAnnotation,
} from "./network_selection.ts";
import type {
  Attachment,
  AttachRequest,
  ChosenNetwork,
  NetworkReadiness,
  Networks,
} from "./networks.ts";
import type { PodInterfaces } from "./pod_interfaces.ts";
import { SerialQueues } from "./serial_queues.ts";
import { SharedGate } from "./shared_gate.ts";

export interface CniNetworksOptions {
  readonly config: Pick<CniConfig, "readiness" | "choose" | "current">;
  readonly exec: CniExec;
  readonly interfaces: PodInterfaces;
  /** Tells a pinned namespace from an empty file: DEL of one that is gone gets an empty CNI_NETNS. */
  readonly kernel: Pick<Kernel, "statfs">;
}

export class CniNetworks implements Networks {
  readonly #options: CniNetworksOptions;
  /** The specification forbids ADD and DEL of the same container at the same time. */
  readonly #perSandbox = new SerialQueues<SandboxId>();
  /** Nor may GC of a network run beside either. */
  readonly #gate = new SharedGate();

  constructor(options: CniNetworksOptions) {
    this.#options = options;
  }

  readiness(): NetworkReadiness {
    return this.#options.config.readiness();
  }

  choose(): ChosenNetwork {
    return this.#options.config.choose();
  }

  opensHostPorts(network: ChosenNetwork): boolean {
    return parseCniList(network.configuration).plugins.some(({ capabilities }) =>
      capabilities.has("portMappings")
    );
  }

  selection(network: ChosenNetwork, annotation: SelectionAnnotation): NetworkSelection {
    return networkSelection(annotation, parseCniList(network.configuration));
  }

  attach(
    network: ChosenNetwork,
    request: AttachRequest,
    signal: AbortSignal,
  ): Promise<Attachment> {
    return this.#alone(request.sandboxId, async () => {
      const list = parseCniList(network.configuration);
      const args = { capabilities: capabilityArgs(request), pod: cniArgs(request) };
      let previous: { readonly result: JsonObject; readonly ips: readonly string[] } | undefined;
      for (const plugin of list.plugins) {
        const stdout = await this.#run(
          { command: "ADD", list, plugin, request, args, prevResult: previous?.result },
          signal,
        );
        const parsed = parseResult(stdout, list.cniVersion);
        if (!parsed.ok) {
          throw new UnavailableError(
            `CNI plugin "${plugin.type}" of network "${list.name}" ${parsed.problem}`,
          );
        }
        previous = parsed;
      }
      if (previous === undefined || previous.ips.length === 0) {
        throw new UnavailableError(`Network "${list.name}" gave the pod no address`, {
          remedy: "check the ipam part of its configuration",
        });
      }
      return { network: list.name, ips: previous.ips, result: previous.result };
    });
  }

  detach(
    network: ChosenNetwork,
    request: AttachRequest,
    result: JsonObject | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#alone(request.sandboxId, async () => {
      const list = parseCniList(network.configuration);
      const args = detachArgs(request);
      const netnsPath =
        request.netnsPath !== "" && isPinned(this.#options.kernel, request.netnsPath)
          ? request.netnsPath
          : "";
      // Results were not given to DEL before 0.4.0.
      const prevResult = list.cniVersion.startsWith("0.3.") ? undefined : result;
      // In order and not past a failure: while a port mapping may still lead to the address, the
      // address must not be given to another pod.
      for (const plugin of list.plugins.toReversed()) {
        await this.#delete(
          { list, plugin, request: { ...request, netnsPath }, args, prevResult },
          signal,
        );
      }
    });
  }

  /**
   * A DEL that is repeated must succeed, but some plugins (host-device, sbr before 1.2) fail once the
   * pod's interface is gone, and would keep a pod from ever being stopped. What they do without a
   * namespace is all that is left to do.
   */
  async #delete(call: Omit<AttachmentCall, "command">, signal: AbortSignal): Promise<void> {
    const { request } = call;
    try {
      await this.#run({ ...call, command: "DEL" }, signal);
    } catch (error) {
      if (request.netnsPath === "" || signal.aborted) throw error;
      const isThere = await this.#options.interfaces.has(
        request.netnsPath,
        CNI_INTERFACE,
        signal,
      );
      if (isThere !== false) throw error;
      const nowhere = { ...request, netnsPath: "" };
      await this.#run({ ...call, command: "DEL", request: nowhere }, signal);
    }
  }

  check(
    network: ChosenNetwork,
    request: AttachRequest,
    result: JsonObject,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#alone(request.sandboxId, async () => {
      const list = parseCniList(network.configuration);
      if (list.disableCheck || !isAtLeast(list.cniVersion, "0.4.0")) return;
      const args = detachArgs(request);
      for (const plugin of list.plugins) {
        await this.#run(
          { command: "CHECK", list, plugin, request, args, prevResult: result },
          signal,
        );
      }
    });
  }

  async status(signal: AbortSignal): Promise<void> {
    const list = this.#options.config.current();
    if (list === undefined || !isAtLeast(list.cniVersion, "1.1.0")) return;
    for (const plugin of list.plugins) {
      await this.#options.exec.run({
        command: "STATUS",
        network: list.name,
        plugin: plugin.type,
        configuration: configurationOf(list, plugin),
      }, signal);
    }
  }

  async collectGarbage(
    valid: (network: string) => Promise<readonly SandboxId[]>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const list = this.#options.config.current();
    if (list === undefined || list.disableGC || !isAtLeast(list.cniVersion, "1.1.0")) return [];
    return await this.#gate.exclusively(async () => {
      const attachments = (await valid(list.name)).map((containerID) => ({
        containerID,
        ifname: CNI_INTERFACE,
      }));
      const problems: string[] = [];
      for (const plugin of list.plugins) {
        try {
          await this.#options.exec.run({
            command: "GC",
            network: list.name,
            plugin: plugin.type,
            configuration: {
              ...configurationOf(list, plugin),
              "cni.dev/valid-attachments": attachments,
            },
          }, signal);
        } catch (error) {
          // The others have something to take away, too.
          problems.push(errorMessage(error));
        }
      }
      return problems;
    });
  }

  #alone<Result>(sandbox: SandboxId, act: () => Promise<Result>): Promise<Result> {
    return this.#perSandbox.run(sandbox, () => this.#gate.shared(act));
  }

  #run(
    call: AttachmentCall,
    signal: AbortSignal,
  ): Promise<string> {
    const { command, list, plugin, request, args, prevResult } = call;
    const runtimeConfig = runtimeConfigOf(plugin, args.capabilities);
    return this.#options.exec.run({
      command,
      network: list.name,
      plugin: plugin.type,
      containerId: request.sandboxId,
      netnsPath: request.netnsPath,
      args: args.pod,
      configuration: {
        ...configurationOf(list, plugin),
        ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
        ...(prevResult === undefined ? {} : { prevResult }),
      },
    }, signal);
  }
}

/** A plugin's configuration as it gets it, without what is the runtime's to know. */
function configurationOf(list: CniList, plugin: CniPlugin): JsonObject {
  const { capabilities: _declared, ...configuration } = plugin.configuration;
  return { ...configuration, name: list.name, cniVersion: list.cniVersion };
}

function isPinned(kernel: Pick<Kernel, "statfs">, path: string): boolean {
  try {
    return kernel.statfs(path).type === NSFS_MAGIC;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

interface AttachmentCall {
  readonly command: AttachmentCommand;
  readonly list: CniList;
  readonly plugin: CniPlugin;
  readonly request: AttachRequest;
  readonly args: CniArguments;
  readonly prevResult: JsonObject | undefined;
}

interface CniArguments {
  readonly capabilities: CapabilityArgs;
  /** CNI_ARGS. */
  readonly pod: string;
}

/** What DEL is told; something that ADD refused must not keep DEL from running. */
function detachArgs(request: AttachRequest): CniArguments {
  try {
    return { capabilities: capabilityArgs(request), pod: cniArgs(request) };
  } catch {
    const nameless = { ...request, podName: "", podNamespace: "", podUid: "" };
    const plain = { ...nameless, portMappings: [], annotations: {} };
    return { capabilities: capabilityArgs(plain), pod: cniArgs(plain) };
  }
}

/**
 * CNI_ARGS as Kubernetes plugins know them.
 *
 * @throws {InvalidArgumentError} a name could add an argument of its own
 */
export function cniArgs(request: AttachRequest): string {
  const entries = {
    K8S_POD_NAMESPACE: request.podNamespace,
    K8S_POD_NAME: request.podName,
    K8S_POD_INFRA_CONTAINER_ID: request.sandboxId,
    K8S_POD_UID: request.podUid,
  };
  for (const [key, value] of Object.entries(entries)) {
    // deno-lint-ignore no-control-regex -- separators of the list, and what ends an environment entry
    if (/[;=\0-\x1f\x7f]/.test(value)) {
      throw new InvalidArgumentError(`${key} ${shown(value)} cannot be given to CNI plugins`, {
        field: "config.metadata",
        value,
        remedy: "use a name without ';', '=' and control characters",
      });
    }
  }
  return ["IgnoreUnknown=1", ...Object.entries(entries).map(([key, value]) => `${key}=${value}`)]
    .join(";");
}
