/**
 * {@link Networks} by CNI: a list's plugins in order for ADD, in reverse for DEL (specification
 * section 3).
 *
 * @module
 */
import { InvalidArgumentError, isErrno, shown, UnavailableError } from "../errors/mod.ts";
import type { JsonObject, SandboxId } from "../model/mod.ts";
import { type Kernel, NSFS_MAGIC } from "../sys/mod.ts";
import { type CapabilityArgs, capabilityArgs, runtimeConfigOf } from "./capability_args.ts";
import type { CniConfig } from "./cni_config.ts";
import type { CniCommand, CniExec } from "./cni_exec.ts";
import { type CniList, type CniPlugin, parseCniList } from "./cni_list.ts";
import { parseResult } from "./cni_result.ts";
import type {
  Attachment,
  AttachRequest,
  ChosenNetwork,
  NetworkReadiness,
  Networks,
} from "./networks.ts";
import { SerialQueues } from "./serial_queues.ts";

export interface CniNetworksOptions {
  readonly config: Pick<CniConfig, "readiness" | "choose">;
  readonly exec: CniExec;
  /** Tells a pinned namespace from an empty file: DEL of one that is gone gets an empty CNI_NETNS. */
  readonly kernel: Pick<Kernel, "statfs">;
}

export class CniNetworks implements Networks {
  readonly #options: CniNetworksOptions;
  /** The specification forbids ADD and DEL of the same container at the same time. */
  readonly #perSandbox = new SerialQueues<SandboxId>();

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

  attach(
    network: ChosenNetwork,
    request: AttachRequest,
    signal: AbortSignal,
  ): Promise<Attachment> {
    return this.#perSandbox.run(request.sandboxId, async () => {
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
    return this.#perSandbox.run(request.sandboxId, async () => {
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
        await this.#run(
          { command: "DEL", list, plugin, request: { ...request, netnsPath }, args, prevResult },
          signal,
        );
      }
    });
  }

  #run(
    call: {
      readonly command: CniCommand;
      readonly list: CniList;
      readonly plugin: CniPlugin;
      readonly request: AttachRequest;
      readonly args: CniArguments;
      readonly prevResult: JsonObject | undefined;
    },
    signal: AbortSignal,
  ): Promise<string> {
    const { command, list, plugin, request, args, prevResult } = call;
    const runtimeConfig = runtimeConfigOf(plugin, args.capabilities);
    const { capabilities: _declared, ...configuration } = plugin.configuration;
    return this.#options.exec.run({
      command,
      network: list.name,
      plugin: plugin.type,
      containerId: request.sandboxId,
      netnsPath: request.netnsPath,
      args: args.pod,
      configuration: {
        ...configuration,
        name: list.name,
        cniVersion: list.cniVersion,
        ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
        ...(prevResult === undefined ? {} : { prevResult }),
      },
    }, signal);
  }
}

function isPinned(kernel: Pick<Kernel, "statfs">, path: string): boolean {
  try {
    return kernel.statfs(path).type === NSFS_MAGIC;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
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
