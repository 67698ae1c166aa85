/** New limits for a container that exists: what `update` of an OCI runtime is given. @module */
import { FailedPreconditionError, InvalidArgumentError, shown } from "../errors/mod.ts";
import type { LinuxContainerResources } from "../proto/mod.ts";
import { checkUnified } from "./linux_resources.ts";
import { specInteger, type SpecResources } from "./runtime_spec.ts";
import type { NodeFacts, SpecDefaults } from "./spec_inputs.ts";

/** Of the request's fields, those that are set; whatever is left out keeps its value. */
export type ResourceUpdate = Omit<SpecResources, "devices" | "pids">;

export interface ResourceUpdateInputs {
  /** Zero and empty fields leave what is; -1 takes a limit away. */
  readonly request: LinuxContainerResources;
  /** What the kernel says; left out where it does not. */
  readonly current: {
    /** -1 for none. */
    readonly memoryLimitBytes?: bigint;
    /** Without page cache, which the kernel gives up for a lower limit. */
    readonly unreclaimableMemoryBytes?: bigint;
  };
  readonly node: Pick<NodeFacts, "cgroupVersion" | "hugetlb" | "swapAccounting">;
  readonly defaults: Pick<SpecDefaults, "minMemoryBytes">;
}

const FIELD = "linux";
const NO_LIMIT = -1n;

/**
 * @throws {InvalidArgumentError} a limit below the least, or swap that contradicts it
 * @throws {FailedPreconditionError} a memory limit below what is in use; `unified` without cgroup v2
 */
export function buildResourceUpdate(inputs: ResourceUpdateInputs): ResourceUpdate {
  const { request, node } = inputs;
  const cpu = cpuUpdate(request);
  const memory = memoryUpdate(inputs);
  const hugepages = node.hugetlb ? request.hugepageLimits : [];
  const unified = Object.entries(request.unified).sort(([a], [b]) => (a < b ? -1 : 1));
  checkUnified(FIELD, unified, node.cgroupVersion);
  return {
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(memory === undefined ? {} : { memory }),
    ...(hugepages.length === 0 ? {} : {
      hugepageLimits: hugepages.map(({ pageSize, limit }) => ({
        pageSize,
        limit: specInteger(limit),
      })),
    }),
    ...(unified.length === 0 ? {} : { unified: Object.fromEntries(unified) }),
  };
}

function cpuUpdate(request: LinuxContainerResources): NonNullable<SpecResources["cpu"]> {
  const { cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems } = request;
  return {
    ...(cpuShares === 0n ? {} : { shares: specInteger(cpuShares) }),
    // The kernel knows one negative quota.
    ...(cpuQuota === 0n ? {} : { quota: specInteger(cpuQuota < 0n ? NO_LIMIT : cpuQuota) }),
    ...(cpuPeriod === 0n ? {} : { period: specInteger(cpuPeriod) }),
    ...(cpusetCpus === "" ? {} : { cpus: cpusetCpus }),
    ...(cpusetMems === "" ? {} : { mems: cpusetMems }),
  };
}

function memoryUpdate(
  { request, current, node, defaults }: ResourceUpdateInputs,
): SpecResources["memory"] {
  const { memoryLimitInBytes: wanted, memorySwapLimitInBytes: swap } = request;
  if (wanted === 0n && swap === 0n) return undefined;
  // Alone, swap is set beside the memory limit that is in force.
  const limit = wanted === 0n ? current.memoryLimitBytes ?? NO_LIMIT : wanted;
  if (wanted > 0n) checkMemory(wanted, current.unreclaimableMemoryBytes, defaults.minMemoryBytes);
  if (swap > 0n && limit === NO_LIMIT) {
    throw invalid("memory_swap_limit_in_bytes", swap, "is given without a memory limit");
  }
  if (swap > 0n && swap < limit) {
    throw invalid("memory_swap_limit_in_bytes", swap, `is below the memory limit ${limit}`);
  }
  if (!node.swapAccounting) return wanted === 0n ? undefined : { limit: specInteger(limit) };
  return { limit: specInteger(limit), swap: specInteger(swap === 0n ? limit : swap) };
}

function checkMemory(limit: bigint, used: bigint | undefined, least: bigint): void {
  if (limit < least) {
    throw invalid(
      "memory_limit_in_bytes",
      limit,
      `is below the ${least} bytes that a container needs to start`,
    );
  }
  // The kernel would end processes to get there.
  if (used === undefined || limit >= used) return;
  throw new FailedPreconditionError(
    `memory_limit_in_bytes ${limit} is below the ${used} bytes that the container uses beside page cache`,
    {
      field: `${FIELD}.memory_limit_in_bytes`,
      value: String(limit),
      remedy: `give at least ${used}, or try again when the container uses less`,
    },
  );
}

function invalid(field: string, value: bigint, why: string): InvalidArgumentError {
  return new InvalidArgumentError(`${field} ${shown(value)} ${why}`, {
    field: `${FIELD}.${field}`,
    value: String(value),
  });
}
