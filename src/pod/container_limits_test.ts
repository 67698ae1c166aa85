import assert from "node:assert/strict";
import { LinuxContainerResources } from "../proto/mod.ts";
import {
  limitsFromJson,
  limitsInForce,
  limitsToJson,
  newLimits,
  replacedValues,
  withUpdate,
} from "./container_limits.ts";

const resources = (fields: Partial<LinuxContainerResources>) =>
  LinuxContainerResources.fromPartial(fields);
const NONE = { hugepageLimitBytes: {}, unified: {} };

Deno.test("an update changes what it names and keeps the rest", () => {
  const asked = newLimits(resources({
    cpuShares: 100n,
    memoryLimitInBytes: 50n,
    oomScoreAdj: 5n,
    hugepageLimits: [{ pageSize: "2MB", limit: 1n }],
    unified: { "memory.high": "1" },
  })).asked;
  assert.equal(asked.memorySwapLimitInBytes, 50n, "swap goes with the memory");
  const after = withUpdate(
    asked,
    resources({
      memoryLimitInBytes: 60n,
      oomScoreAdj: 9n,
      hugepageLimits: [{ pageSize: "2MB", limit: 2n }, { pageSize: "1GB", limit: 3n }],
      unified: { "memory.low": "2" },
    }),
  );
  assert.deepEqual(
    after,
    resources({
      cpuShares: 100n,
      memoryLimitInBytes: 60n,
      memorySwapLimitInBytes: 60n,
      oomScoreAdj: 5n,
      hugepageLimits: [{ pageSize: "2MB", limit: 2n }, { pageSize: "1GB", limit: 3n }],
      unified: { "memory.high": "1", "memory.low": "2" },
    }),
  );
});

Deno.test("the kernel's value is told of what was asked for, and nothing of the rest", () => {
  const kernel = {
    ...NONE,
    cpuShares: 1024n,
    cpuQuotaUsec: -1n,
    cpuPeriodUsec: 100_000n,
    cpusetCpus: "0-1",
    memoryLimitBytes: 4096n,
    oomScoreAdj: 7n,
  };
  assert.deepEqual(limitsInForce(resources({}), kernel), resources({ oomScoreAdj: 7n }));
  assert.deepEqual(
    limitsInForce(
      resources({ cpuShares: 9n, cpuQuota: -1n, memoryLimitInBytes: 5000n, cpusetCpus: "0,1" }),
      kernel,
    ),
    resources({
      cpuShares: 1024n,
      cpuQuota: -1n,
      cpuPeriod: 100_000n,
      memoryLimitInBytes: 4096n,
      cpusetCpus: "0-1",
      oomScoreAdj: 7n,
    }),
  );
  const weighed = { ...NONE, cpuWeight: 39n };
  assert.equal(limitsInForce(resources({ cpuShares: 1024n }), weighed).cpuShares, 1024n);
  assert.equal(limitsInForce(resources({ cpuShares: 1024n }), NONE).cpuShares, 0n, "not in force");
});

Deno.test("the values that an update replaces are those the kernel had", () => {
  const before = {
    ...NONE,
    cpuShares: 1024n,
    cpuQuotaUsec: -1n,
    cpusetCpus: "",
    memoryLimitBytes: -1n,
    memorySwapLimitBytes: -1n,
    unified: { "memory.high": "max" },
  };
  const update = {
    cpu: { shares: 5, quota: 100, cpus: "0" },
    memory: { limit: 1, swap: 2 },
    unified: { "memory.high": "1", "memory.low": "1" },
  };
  assert.deepEqual(replacedValues(update, before), {
    cpu: { shares: 1024, quota: -1 },
    memory: { limit: -1, swap: -1 },
    hugepageLimits: [],
    unified: { "memory.high": "max" },
  });
});

Deno.test("recorded limits are read back, also from a record that has none", () => {
  const asked = resources({ cpuShares: 2n ** 60n, unified: { "a.b": "c" } });
  const limits = {
    asked,
    inForce: resources({ cpuShares: 3n }),
    pending: resources({ cpuQuota: -1n }),
  };
  const json = JSON.parse(JSON.stringify(limitsToJson(limits)));
  assert.deepEqual(limitsFromJson(json, undefined), limits);
  assert.deepEqual(limitsFromJson(undefined, asked), newLimits(asked));
});
