/**
 * The limits of a container as they are recorded: what was asked for, what the kernel holds it to, and
 * an update that has been begun.
 *
 * Status shows what is in force. A field that nobody asked for stays empty there, although the kernel
 * has a value for it: the kubelet would take a default for a request.
 *
 * @module
 */
import { type JsonObject } from "../model/mod.ts";
import { type ResourceUpdate, sharesOfWeight, specInteger } from "../oci/mod.ts";
import { LinuxContainerResources } from "../proto/mod.ts";
import { type ContainerLimits, NO_LIMIT } from "../runtime/mod.ts";

export interface RecordedLimits {
  /** By the creation and every update since, the last one winning. */
  readonly asked: LinuxContainerResources;
  /** As the kernel told when it was last asked. */
  readonly inForce: LinuxContainerResources;
  /** An update that was begun, and whose end is not recorded. */
  readonly pending?: LinuxContainerResources;
}

/** The limits of a container that is being made. */
export function newLimits(requested: LinuxContainerResources | undefined): RecordedLimits {
  const asked = withUpdate(
    LinuxContainerResources.fromPartial({ oomScoreAdj: requested?.oomScoreAdj ?? 0n }),
    requested ?? LinuxContainerResources.fromPartial({}),
  );
  return { asked, inForce: asked };
}

/** What is asked for after an update. A process keeps its OOM score: it may have set another itself. */
export function withUpdate(
  asked: LinuxContainerResources,
  update: LinuxContainerResources,
): LinuxContainerResources {
  const memory = update.memoryLimitInBytes;
  const swap = update.memorySwapLimitInBytes;
  const pageSizes = new Map(
    [...asked.hugepageLimits, ...update.hugepageLimits].map((one) => [one.pageSize, one]),
  );
  return {
    cpuPeriod: update.cpuPeriod || asked.cpuPeriod,
    cpuQuota: update.cpuQuota || asked.cpuQuota,
    cpuShares: update.cpuShares || asked.cpuShares,
    memoryLimitInBytes: memory || asked.memoryLimitInBytes,
    // Without a limit of its own, swap goes with the memory.
    memorySwapLimitInBytes: swap || memory || asked.memorySwapLimitInBytes,
    oomScoreAdj: asked.oomScoreAdj,
    cpusetCpus: update.cpusetCpus || asked.cpusetCpus,
    cpusetMems: update.cpusetMems || asked.cpusetMems,
    hugepageLimits: [...pageSizes.values()],
    unified: { ...asked.unified, ...update.unified },
  };
}

/** What to say of a container: the kernel's value of each field that was asked for, -1 for no limit. */
export function limitsInForce(
  asked: LinuxContainerResources,
  kernel: ContainerLimits,
): LinuxContainerResources {
  const of = (wanted: bigint, value: bigint | undefined) => wanted === 0n ? 0n : value ?? 0n;
  const timeAsked = asked.cpuQuota || asked.cpuPeriod;
  return {
    // Each of the two says nothing without the other.
    cpuPeriod: of(timeAsked, kernel.cpuPeriodUsec),
    cpuQuota: of(timeAsked, kernel.cpuQuotaUsec),
    cpuShares: of(asked.cpuShares, sharesOf(asked.cpuShares, kernel)),
    memoryLimitInBytes: of(asked.memoryLimitInBytes, kernel.memoryLimitBytes),
    memorySwapLimitInBytes: of(asked.memorySwapLimitInBytes, kernel.memorySwapLimitBytes),
    oomScoreAdj: kernel.oomScoreAdj ?? asked.oomScoreAdj,
    cpusetCpus: asked.cpusetCpus === "" ? "" : kernel.cpusetCpus ?? "",
    cpusetMems: asked.cpusetMems === "" ? "" : kernel.cpusetMems ?? "",
    hugepageLimits: asked.hugepageLimits.flatMap(({ pageSize }) => {
      const limit = kernel.hugepageLimitBytes[pageSize];
      return limit === undefined ? [] : [{ pageSize, limit: hugepages(limit) }];
    }),
    unified: { ...kernel.unified },
  };
}

/** The values that an update replaces, for taking it back. */
export function replacedValues(update: ResourceUpdate, before: ContainerLimits): ResourceUpdate {
  const { cpu, memory, hugepageLimits = [], unified = {} } = update;
  const shares = before.cpuShares ??
    (before.cpuWeight === undefined ? undefined : sharesOfWeight(before.cpuWeight, 0n));
  const integer = (key: string, wanted: unknown, value: bigint | undefined) =>
    wanted === undefined || value === undefined ? {} : { [key]: specInteger(value) };
  const text = (key: string, wanted: unknown, value: string | undefined) =>
    // An empty list would be read as "leave it".
    wanted === undefined || value === undefined || value === "" ? {} : { [key]: value };
  return {
    cpu: {
      ...integer("shares", cpu?.shares, shares),
      ...integer("quota", cpu?.quota, before.cpuQuotaUsec),
      ...integer("period", cpu?.period, before.cpuPeriodUsec),
      ...text("cpus", cpu?.cpus, before.cpusetCpus),
      ...text("mems", cpu?.mems, before.cpusetMems),
    },
    ...(memory === undefined ? {} : {
      memory: {
        limit: specInteger(before.memoryLimitBytes ?? NO_LIMIT),
        ...integer("swap", memory.swap, before.memorySwapLimitBytes),
      },
    }),
    hugepageLimits: hugepageLimits.flatMap(({ pageSize }) => {
      const limit = before.hugepageLimitBytes[pageSize];
      return limit === undefined ? [] : [{ pageSize, limit: specInteger(hugepages(limit)) }];
    }),
    unified: Object.fromEntries(
      Object.keys(unified).flatMap((key) => {
        const value = before.unified[key];
        return value === undefined ? [] : [[key, value]];
      }),
    ),
  };
}

export function limitsToJson({ asked, inForce, pending }: RecordedLimits): JsonObject {
  return {
    asked: encoded(asked),
    inForce: encoded(inForce),
    ...(pending === undefined ? {} : { pending: encoded(pending) }),
  };
}

/** @param json undefined in the record of a build that kept no limits */
export function limitsFromJson(
  json: JsonObject | undefined,
  requested: LinuxContainerResources | undefined,
): RecordedLimits {
  if (json === undefined) return newLimits(requested);
  const { asked, inForce, pending } = json;
  return {
    asked: decoded(asked),
    inForce: decoded(inForce),
    ...(pending === undefined ? {} : { pending: decoded(pending) }),
  };
}

function sharesOf(asked: bigint, { cpuShares, cpuWeight }: ContainerLimits): bigint | undefined {
  return cpuShares ?? (cpuWeight === undefined ? undefined : sharesOfWeight(cpuWeight, asked));
}

/** The CRI's limit of huge pages is unsigned: the largest stands for none. */
function hugepages(limit: bigint): bigint {
  return limit === NO_LIMIT ? 2n ** 64n - 1n : limit;
}

function encoded(resources: LinuxContainerResources): string {
  return LinuxContainerResources.encode(resources).finish().toBase64();
}

function decoded(text: unknown): LinuxContainerResources {
  return LinuxContainerResources.decode(Uint8Array.fromBase64(String(text)));
}
