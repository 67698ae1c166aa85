import assert from "node:assert/strict";
import { FailedPreconditionError, InvalidArgumentError } from "../errors/mod.ts";
import { LinuxContainerResources } from "../proto/mod.ts";
import { buildResourceUpdate, type ResourceUpdateInputs } from "./resource_update.ts";

const MIB = 1n << 20n;

function build(
  request: Partial<LinuxContainerResources>,
  inputs: Partial<Omit<ResourceUpdateInputs, "request">> = {},
) {
  return buildResourceUpdate({
    request: LinuxContainerResources.fromPartial(request),
    current: { memoryLimitBytes: 64n * MIB, unreclaimableMemoryBytes: 20n * MIB },
    node: { cgroupVersion: 1, hugetlb: false, swapAccounting: true },
    defaults: { minMemoryBytes: 12n * MIB },
    ...inputs,
  });
}

Deno.test("fields that are not given are left out of an update", () => {
  assert.deepEqual(build({}), {});
  assert.deepEqual(build({ cpuShares: 10n }), { cpu: { shares: 10 } });
  assert.deepEqual(build({ oomScoreAdj: 10n }), {});
});

Deno.test("an update of memory takes swap along, unless it is given or not counted", () => {
  assert.deepEqual(build({ memoryLimitInBytes: 32n * MIB }).memory, {
    limit: 32 << 20,
    swap: 32 << 20,
  });
  assert.deepEqual(
    build({ memoryLimitInBytes: 32n * MIB, memorySwapLimitInBytes: 40n * MIB }).memory,
    { limit: 32 << 20, swap: 40 << 20 },
  );
  const node = { cgroupVersion: 1, hugetlb: false, swapAccounting: false } as const;
  assert.deepEqual(build({ memoryLimitInBytes: 32n * MIB }, { node }).memory, { limit: 32 << 20 });
  assert.equal(build({ memorySwapLimitInBytes: 80n * MIB }, { node }).memory, undefined);
});

Deno.test("swap alone is set beside the memory limit in force", () => {
  assert.deepEqual(build({ memorySwapLimitInBytes: 80n * MIB }).memory, {
    limit: 64 << 20,
    swap: 80 << 20,
  });
  assert.deepEqual(build({ memorySwapLimitInBytes: -1n }).memory, { limit: 64 << 20, swap: -1 });
  assert.throws(() => build({ memorySwapLimitInBytes: 60n * MIB }), InvalidArgumentError);
  const current = { memoryLimitBytes: -1n };
  assert.throws(
    () => build({ memorySwapLimitInBytes: 60n * MIB }, { current }),
    /without a memory limit/,
  );
});

Deno.test("-1 takes limits away", () => {
  assert.deepEqual(build({ memoryLimitInBytes: -1n, cpuQuota: -1n }), {
    cpu: { quota: -1 },
    memory: { limit: -1, swap: -1 },
  });
  assert.deepEqual(build({ cpuQuota: -7n }), { cpu: { quota: -1 } });
});

Deno.test("a memory limit below the least or below what is in use is refused with the figures", () => {
  assert.throws(() => build({ memoryLimitInBytes: 11n * MIB }), (error) => {
    assert.ok(error instanceof InvalidArgumentError);
    assert.match(error.message, new RegExp(`${11n * MIB}.* is below the ${12n * MIB} bytes`));
    return true;
  });
  assert.throws(() => build({ memoryLimitInBytes: 19n * MIB }), (error) => {
    assert.ok(error instanceof FailedPreconditionError);
    assert.match(error.message, new RegExp(`${19n * MIB} is below the ${20n * MIB} bytes`));
    return true;
  });
  assert.ok(build({ memoryLimitInBytes: 20n * MIB }));
  assert.ok(build({ memoryLimitInBytes: 13n * MIB }, { current: {} }), "nobody counts");
});

Deno.test("unified is for cgroup version 2 alone", () => {
  const unified = { "memory.high": "1", "cpu.idle": "0" };
  assert.throws(() => build({ unified }), FailedPreconditionError);
  const node = { cgroupVersion: 2, hugetlb: true, swapAccounting: true } as const;
  assert.deepEqual(build({ unified }, { node }), {
    unified: { "cpu.idle": "0", "memory.high": "1" },
  });
  assert.throws(() => build({ unified: { memory: "1" } }, { node }), InvalidArgumentError);
});

Deno.test("limits of huge pages are set where the kernel has them", () => {
  const hugepageLimits = [{ pageSize: "2MB", limit: 4n * MIB }];
  assert.deepEqual(build({ hugepageLimits }), {});
  const node = { cgroupVersion: 2, hugetlb: true, swapAccounting: true } as const;
  assert.deepEqual(build({ hugepageLimits }, { node }), {
    hugepageLimits: [{ pageSize: "2MB", limit: 4 << 20 }],
  });
});
