/**
 * What of a request this node cannot give and a container can do without: left out of the
 * specification, and said. What it cannot do without is refused by the builder.
 *
 * @module
 */
import type { SpecInputs } from "./spec_inputs.ts";
import { effectiveSeccomp } from "./seccomp_request.ts";

/** One sentence each, without a period; none for a request that is met in full. */
export function specWarnings(inputs: SpecInputs): string[] {
  const { container, node, defaults, seccomp } = inputs;
  const { resources, securityContext: security } = container.linux ?? {};
  const warnings: [boolean, string][] = [
    [
      (resources?.hugepageLimits.length ?? 0) > 0 && !node.hugetlb,
      "hugepage_limits are left out: the node has no hugetlb cgroup controller",
    ],
    [
      (resources?.memorySwapLimitInBytes ?? 0n) > 0n && !node.swapAccounting,
      "memory_swap_limit_in_bytes is left out: the kernel does not account for swap",
    ],
    [
      defaults.pidsLimit >= 0 && !node.pidsController,
      "pids_limit is left out: the node has no pids cgroup controller",
    ],
    [
      effectiveSeccomp(security, seccomp.privileged).kind === "runtime-default" && !node.seccomp,
      "seccomp RuntimeDefault is left out: the kernel has no seccomp",
    ],
    [
      resources !== undefined && resources.oomScoreAdj < BigInt(node.oomScoreAdjFloor),
      `oom_score_adj ${resources?.oomScoreAdj} is raised to ${node.oomScoreAdjFloor}: ` +
      "this process has no CAP_SYS_RESOURCE",
    ],
    [
      security?.noNewPrivs === true &&
      (security.privileged || addsSysAdmin(security.capabilities?.addCapabilities ?? [])),
      "no_new_privs keeps little from a container that is privileged or has CAP_SYS_ADMIN",
    ],
  ];
  return warnings.filter(([applies]) => applies).map(([, text]) => text);
}

function addsSysAdmin(names: readonly string[]): boolean {
  return names.some((name) => /^(?:ALL|(?:CAP_)?SYS_ADMIN)$/i.test(name));
}
