/**
 * What the kernel holds a container to, read from its cgroup's files, and for huge pages also written
 * there.
 *
 * @module
 */
import type { Cgroups } from "../sys/cgroup.ts";
import type { ProcessIdentity } from "../sys/watching.ts";

/** No limit, in every field of {@link ContainerLimits} that has one. */
export const NO_LIMIT = -1n;

/** Fields that the node's kernel does not tell of are left out. */
export interface ContainerLimits {
  /** Cgroup version 1. */
  readonly cpuShares?: bigint;
  /** Cgroup version 2: 1 to 10,000. */
  readonly cpuWeight?: bigint;
  readonly cpuQuotaUsec?: bigint;
  readonly cpuPeriodUsec?: bigint;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly memoryLimitBytes?: bigint;
  /** Memory and swap together. */
  readonly memorySwapLimitBytes?: bigint;
  /** Of the container's first process. */
  readonly oomScoreAdj?: bigint;
  /** By page size such as `2MB`; those asked about. */
  readonly hugepageLimitBytes: Readonly<Record<string, bigint>>;
  /** Files of a version 2 group; those asked about. */
  readonly unified: Readonly<Record<string, string>>;
}

/** Which of the open-ended lists to read. */
export interface LimitsAsked {
  readonly pageSizes: readonly string[];
  readonly unified: readonly string[];
}

/** Content of a controller's file without the line end; undefined if there is none. */
export type CgroupFileReader = (controller: string, file: string) => string | undefined;

/** The counter's end on v1, rounded down to pages of any size. */
const V1_NO_LIMIT = 2n ** 63n - 2n ** 20n;

export function readLimits(
  version: 1 | 2,
  read: CgroupFileReader,
  { pageSizes, unified }: LimitsAsked,
): ContainerLimits {
  const common = {
    ...ifGiven("cpusetCpus", read("cpuset", "cpuset.cpus")),
    ...ifGiven("cpusetMems", read("cpuset", "cpuset.mems")),
    hugepageLimitBytes: pairs(
      pageSizes,
      (size) => limit(read("hugetlb", hugepageFile(version, size))),
    ),
    unified: pairs(unified, (file) => read(file.slice(0, file.indexOf(".")), file)),
  };
  return version === 1 ? { ...versionOne(read), ...common } : { ...versionTwo(read), ...common };
}

/**
 * Bytes charged to a container now that the kernel does not get back by giving up page cache;
 * undefined if nothing counts them.
 *
 * Pages of files can be dropped or written back at any time, and the kernel does so before it refuses
 * a lower limit (version 1) or ends a process (version 2). Those of tmpfs and locked ones cannot, and
 * are not on the two lists that are taken off here. Slab that could shrink counts as used: how much of it
 * goes is not known before.
 */
export function readUnreclaimableMemory(
  version: 1 | 2,
  read: CgroupFileReader,
): bigint | undefined {
  const [usageFile, prefix] = version === 1
    ? ["memory.usage_in_bytes", "total_"]
    : ["memory.current", ""];
  const usage = integer(read("memory", usageFile));
  if (usage === undefined) return undefined;
  const stat = read("memory", "memory.stat") ?? "";
  const counter = (name: string) =>
    integer(new RegExp(`^${prefix}${name} (\\d+)$`, "m").exec(stat)?.[1]) ?? 0n;
  const rest = usage - counter("inactive_file") - counter("active_file");
  // The counters are not taken at one instant.
  return rest < 0n ? 0n : rest;
}

/** Undefined if there is no such group any more. */
export function limitsOf(
  cgroups: Cgroups,
  path: string,
  init: ProcessIdentity,
  asked: LimitsAsked,
): ContainerLimits | undefined {
  if (!cgroups.exists(path)) return undefined;
  return {
    ...readLimits(cgroups.version, (...file) => cgroups.read(path, ...file), asked),
    ...ifGiven("oomScoreAdj", oomScoreAdjOf(init)),
  };
}

function oomScoreAdjOf({ pid }: ProcessIdentity): bigint | undefined {
  try {
    return integer(Deno.readTextFileSync(`/proc/${pid}/oom_score_adj`).trim());
  } catch {
    return undefined; // it has ended
  }
}

export function unreclaimableMemoryOf(cgroups: Cgroups, path: string): bigint | undefined {
  return readUnreclaimableMemory(cgroups.version, (...file) => cgroups.read(path, ...file));
}

/** File that limits the huge pages of a size such as `2MB`. */
export function hugepageFile(version: 1 | 2, pageSize: string): string {
  return `hugetlb.${pageSize}.${version === 1 ? "limit_in_bytes" : "max"}`;
}

function versionOne(read: CgroupFileReader): Partial<ContainerLimits> {
  return {
    ...ifGiven("cpuShares", integer(read("cpu", "cpu.shares"))),
    ...ifGiven("cpuQuotaUsec", integer(read("cpu", "cpu.cfs_quota_us"))),
    ...ifGiven("cpuPeriodUsec", integer(read("cpu", "cpu.cfs_period_us"))),
    ...ifGiven("memoryLimitBytes", limit(read("memory", "memory.limit_in_bytes"))),
    ...ifGiven("memorySwapLimitBytes", limit(read("memory", "memory.memsw.limit_in_bytes"))),
  };
}

function versionTwo(read: CgroupFileReader): Partial<ContainerLimits> {
  const [quota, period] = (read("cpu", "cpu.max") ?? "").split(" ");
  const memory = limit(read("memory", "memory.max"));
  const swap = limit(read("memory", "memory.swap.max"));
  const both = memory === undefined || swap === undefined
    ? undefined
    : memory === NO_LIMIT || swap === NO_LIMIT
    ? NO_LIMIT
    : memory + swap;
  return {
    ...ifGiven("cpuWeight", integer(read("cpu", "cpu.weight"))),
    ...ifGiven("cpuQuotaUsec", limit(quota)),
    ...ifGiven("cpuPeriodUsec", integer(period)),
    ...ifGiven("memoryLimitBytes", memory),
    ...ifGiven("memorySwapLimitBytes", both),
  };
}

function integer(text: string | undefined): bigint | undefined {
  return text !== undefined && /^-?\d+$/.test(text) ? BigInt(text) : undefined;
}

function limit(text: string | undefined): bigint | undefined {
  if (text === "max") return NO_LIMIT;
  const value = integer(text);
  return value !== undefined && value >= V1_NO_LIMIT ? NO_LIMIT : value;
}

function ifGiven<K extends string, V>(key: K, value: V | undefined): { readonly [k in K]?: V } {
  return value === undefined ? {} : { [key]: value } as { readonly [k in K]?: V };
}

function pairs<V>(
  keys: readonly string[],
  valueOf: (key: string) => V | undefined,
): Record<string, V> {
  const found: Record<string, V> = {};
  for (const key of keys) {
    const value = valueOf(key);
    if (value !== undefined) found[key] = value;
  }
  return found;
}
