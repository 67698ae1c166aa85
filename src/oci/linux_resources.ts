/** Limits of a container: CPU, memory, swap, huge pages, processes. @module */
import { FailedPreconditionError, InvalidArgumentError, shown } from "../errors/mod.ts";
import { isCpuList, isPageSize } from "../model/mod.ts";
import type { LinuxContainerResources } from "../proto/mod.ts";
import { type SpecInteger, specInteger, type SpecResources } from "./runtime_spec.ts";
import type { NodeFacts, SpecDefaults } from "./spec_inputs.ts";

const FIELD = "config.linux.resources";

export interface ResourceInputs {
  readonly request: LinuxContainerResources | undefined;
  readonly node: Pick<NodeFacts, "cgroupVersion" | "hugetlb" | "pidsController" | "swapAccounting">;
  readonly defaults: Pick<SpecDefaults, "pidsLimit" | "minMemoryBytes">;
  /** Files of cgroup version 2 that an annotation sets; it wins over the request. */
  readonly annotated?: Readonly<Record<string, string>>;
}

/** Everything but the device rules. @throws {InvalidArgumentError} naming the limit that is wrong */
export function buildResources(inputs: ResourceInputs): Omit<SpecResources, "devices"> {
  const { request, node, defaults } = inputs;
  const cpu = request === undefined ? {} : cpuLimits(request);
  const memory = request === undefined ? undefined : memoryLimits(request, inputs);
  const hugepages = request === undefined ? [] : hugepageLimits(request, node.hugetlb);
  const unified = Object.entries({ ...request?.unified, ...inputs.annotated })
    .sort(([a], [b]) => (a < b ? -1 : 1));
  checkUnified(FIELD, unified, node.cgroupVersion);
  return {
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(memory === undefined ? {} : { memory }),
    ...(node.pidsController ? { pids: { limit: defaults.pidsLimit } } : {}),
    ...(hugepages.length === 0 ? {} : { hugepageLimits: hugepages }),
    ...(unified.length === 0 ? {} : { unified: Object.fromEntries(unified) }),
  };
}

function cpuLimits(request: LinuxContainerResources): NonNullable<SpecResources["cpu"]> {
  const { cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems } = request;
  notNegative("cpu_shares", cpuShares);
  notNegative("cpu_period", cpuPeriod);
  // Zero is "not given" in the CRI; a negative quota means no limit.
  return {
    ...(cpuShares === 0n ? {} : { shares: specInteger(cpuShares) }),
    ...(cpuQuota === 0n ? {} : { quota: specInteger(cpuQuota) }),
    ...(cpuPeriod === 0n ? {} : { period: specInteger(cpuPeriod) }),
    ...(cpusetCpus === "" ? {} : { cpus: cpuList("cpuset_cpus", cpusetCpus) }),
    ...(cpusetMems === "" ? {} : { mems: cpuList("cpuset_mems", cpusetMems) }),
  };
}

function memoryLimits(
  request: LinuxContainerResources,
  { node, defaults }: ResourceInputs,
): SpecResources["memory"] {
  const { memoryLimitInBytes: limit, memorySwapLimitInBytes: swap } = request;
  notNegative("memory_limit_in_bytes", limit);
  if (limit === 0n) {
    if (swap > 0n) {
      throw invalid("memory_swap_limit_in_bytes", swap, "is given without a memory limit");
    }
    return undefined;
  }
  if (limit < defaults.minMemoryBytes) {
    throw invalid(
      "memory_limit_in_bytes",
      limit,
      `is below the ${defaults.minMemoryBytes} bytes that a container needs to start`,
    );
  }
  if (swap > 0n && swap < limit) {
    throw invalid("memory_swap_limit_in_bytes", swap, `is below the memory limit ${limit}`);
  }
  if (!node.swapAccounting) return { limit: specInteger(limit) };
  return { limit: specInteger(limit), swap: specInteger(swap === 0n ? limit : swap) };
}

function hugepageLimits(
  request: LinuxContainerResources,
  hugetlb: boolean,
): { readonly pageSize: string; readonly limit: SpecInteger }[] {
  const limits = request.hugepageLimits.map(({ pageSize, limit }) => {
    if (!isPageSize(pageSize)) {
      throw invalid("hugepage_limits.page_size", pageSize, "is not a page size such as 2MB");
    }
    return { pageSize, limit: specInteger(limit) };
  });
  return hugetlb ? limits : [];
}

/** @throws {FailedPreconditionError} there are some, and the node has no cgroup version 2 */
export function checkUnified(
  field: string,
  entries: readonly (readonly [string, string])[],
  version: 1 | 2,
): void {
  for (const [key, value] of entries) {
    if (version === 1) {
      throw new FailedPreconditionError(
        `Resource ${shown(key)} needs cgroup version 2, this node has version 1`,
        { field: `${field}.unified`, value: key },
      );
    }
    // The key becomes a file name below the container's group.
    if (!/^[a-z0-9_]+(?:\.[a-zA-Z0-9_-]+)+$/.test(key)) {
      throw unifiedError(field, key, "is not the name of a cgroup file");
    }
    if (value.includes("\0")) throw unifiedError(field, value, "holds NUL");
  }
}

function unifiedError(field: string, value: string, why: string): InvalidArgumentError {
  return new InvalidArgumentError(`unified ${shown(value)} ${why}`, {
    field: `${field}.unified`,
    value,
  });
}

function cpuList(field: string, list: string): string {
  if (isCpuList(list)) return list;
  throw invalid(field, list, "is not a list such as 0-3,5");
}

function notNegative(field: string, value: bigint): void {
  if (value < 0n) throw invalid(field, value, "is negative");
}

function invalid(field: string, value: string | bigint, why: string): InvalidArgumentError {
  return new InvalidArgumentError(`${field} ${shown(value)} ${why}`, {
    field: `${FIELD}.${field}`,
    value: String(value),
  });
}
