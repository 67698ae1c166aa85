/**
 * Resource limits of pods and containers.
 *
 * @module
 */
import { UnimplementedError } from "../errors/mod.ts";
import { isCpuList, isPageSize } from "../model/mod.ts";
import type {
  LinuxContainerResources,
  UpdateContainerResourcesRequest,
  UpdatePodSandboxResourcesRequest,
} from "../proto/mod.ts";
import { checkEach, checkLength, checkMap, checkRange, refuse } from "./field_checks.ts";
import { LIMITS } from "./limits.ts";
import { validateId } from "./validate_references.ts";

const INT64_MAX = 2n ** 63n - 1n;
/** 0 leaves it out; else the kernel takes 1 ms to 1 s. */
const CPU_PERIOD_USEC = { min: 1_000n, max: 1_000_000n };
/** The kernel clamps to 2..262144; a 1 is what old clients send for "least". */
const CPU_SHARES = { min: 0n, max: 262_144n };
const OOM_SCORE = { min: -1_000n, max: 1_000n };

/** Of 0 means "not given"; of -1, where there is something to take away, "no limit". */
const MEMORY = { min: 0n, max: INT64_MAX };
const MEMORY_UPDATE = { min: -1n, max: INT64_MAX };

/**
 * @throws {InvalidArgumentError} as {@link validateResources}
 * @throws {UnimplementedError} limits for Windows
 */
export function validateUpdateContainerResources(
  { containerId, linux, windows, annotations }: UpdateContainerResourcesRequest,
): Pick<UpdateContainerResourcesRequest, "containerId" | "linux"> {
  validateId("container_id", containerId);
  if (windows !== undefined) {
    throw new UnimplementedError("Limits for Windows are not implemented", {
      field: "windows",
      remedy: "this is a Linux runtime",
    });
  }
  // They are for plugins of the runtime.
  checkMap("annotations", annotations, {
    count: LIMITS.annotations,
    total: LIMITS.annotationBytes,
  });
  validateResources("linux", linux, MEMORY_UPDATE);
  return { containerId, linux };
}

/** @throws {InvalidArgumentError} as {@link validateResources}, or an empty id */
export function validateUpdatePodSandboxResources(
  request: UpdatePodSandboxResourcesRequest,
): UpdatePodSandboxResourcesRequest {
  validateId("pod_sandbox_id", request.podSandboxId);
  validateResources("overhead", request.overhead, MEMORY_UPDATE);
  validateResources("resources", request.resources, MEMORY_UPDATE);
  return request;
}

/** @throws {InvalidArgumentError} out of the kernel's ranges, or not a CPU list or page size */
export function validateResources(
  field: string,
  resources: LinuxContainerResources | undefined,
  memoryRange = MEMORY,
): void {
  if (resources === undefined) return;
  if (resources.cpuPeriod !== 0n) {
    checkRange(`${field}.cpu_period`, resources.cpuPeriod, CPU_PERIOD_USEC);
  }
  // Any negative quota means none; a positive one below 1 ms is refused by the kernel.
  if (resources.cpuQuota > 0n) {
    checkRange(`${field}.cpu_quota`, resources.cpuQuota, { min: 1_000n, max: INT64_MAX / 1_000n });
  }
  checkRange(`${field}.cpu_shares`, resources.cpuShares, CPU_SHARES);
  checkRange(`${field}.memory_limit_in_bytes`, resources.memoryLimitInBytes, memoryRange);
  checkRange(`${field}.memory_swap_limit_in_bytes`, resources.memorySwapLimitInBytes, {
    min: -1n,
    max: INT64_MAX,
  });
  const { memoryLimitInBytes: memory, memorySwapLimitInBytes: swap } = resources;
  if (memory > 0n && swap > 0n && swap < memory) {
    refuse(`${field}.memory_swap_limit_in_bytes`, "is below the memory limit, which it includes", {
      value: String(swap),
      remedy: `give at least ${memory}`,
    });
  }
  checkRange(`${field}.oom_score_adj`, resources.oomScoreAdj, OOM_SCORE);
  validateCpuList(`${field}.cpuset_cpus`, resources.cpusetCpus);
  validateCpuList(`${field}.cpuset_mems`, resources.cpusetMems);
  checkEach(
    `${field}.hugepage_limits`,
    resources.hugepageLimits,
    LIMITS.hugepageLimits,
    (name, { pageSize }) => {
      if (!isPageSize(pageSize)) {
        refuse(`${name}.page_size`, "is not a page size", {
          value: pageSize,
          remedy: "write it as 2MB or 1GB",
        });
      }
    },
  );
  checkMap(`${field}.unified`, resources.unified, {
    count: LIMITS.unified,
    entry: LIMITS.unifiedValue,
  });
  // Each key is a file name in the container's cgroup.
  for (const key of Object.keys(resources.unified)) {
    if (key.includes("/") || key.startsWith(".")) {
      refuse(`${field}.unified`, "has a key that is no cgroup file", { value: key });
    }
  }
}

function validateCpuList(field: string, list: string): void {
  if (list === "") return;
  checkLength(field, list, LIMITS.cpuset);
  if (!isCpuList(list)) {
    refuse(field, "is not a CPU list", { value: list, remedy: "write it as 0-3,7" });
  }
}
