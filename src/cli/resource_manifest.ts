/** What a container may use, as its manifest says it. @module */
import { quantity } from "./manifest_fields.ts";
import type { ManifestNode } from "./manifest_reader.ts";

/** Millicores and bytes; undefined where nothing is said. */
export interface ResourceManifest {
  readonly cpuRequest: bigint | undefined;
  readonly cpuLimit: bigint | undefined;
  readonly memoryRequest: bigint | undefined;
  readonly memoryLimit: bigint | undefined;
}

export function readResources(
  node: ManifestNode,
  onIgnored: (path: string) => void,
): ResourceManifest {
  const { limits, requests } = node.fields(["limits", "requests"], { unsupported: ["claims"] });
  const known = ["cpu", "memory"] as const;
  const others = {
    ignored: ["ephemeral-storage"],
    onIgnored,
    unsupported: ["hugepages-2Mi", "hugepages-1Gi"],
  };
  const limit = limits.fields(known, others);
  const request = requests.fields(known, others);
  const [cpuLimit, memoryLimit] = [quantity(limit.cpu, 1000n), quantity(limit.memory)];
  return {
    cpuLimit,
    memoryLimit,
    // What is limited and not requested is requested at its limit.
    cpuRequest: quantity(request.cpu, 1000n) ?? cpuLimit,
    memoryRequest: quantity(request.memory) ?? memoryLimit,
  };
}
