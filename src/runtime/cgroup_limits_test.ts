import assert from "node:assert/strict";
import { readLimits, readUnreclaimableMemory } from "./cgroup_limits.ts";

const NOTHING = { pageSizes: [], unified: [] };

function files(content: Readonly<Record<string, string>>) {
  return (controller: string, file: string) => content[`${controller}/${file}`];
}

Deno.test("limits of a version 1 group are read from its controllers", () => {
  const read = files({
    "cpu/cpu.shares": "512",
    "cpu/cpu.cfs_quota_us": "20000",
    "cpu/cpu.cfs_period_us": "100000",
    "cpuset/cpuset.cpus": "0-1",
    "cpuset/cpuset.mems": "0",
    "memory/memory.limit_in_bytes": "67108864",
    "memory/memory.memsw.limit_in_bytes": "9223372036854771712",
    "hugetlb/hugetlb.2MB.limit_in_bytes": "2097152",
  });
  assert.deepEqual(readLimits(1, read, { pageSizes: ["2MB", "1GB"], unified: [] }), {
    cpuShares: 512n,
    cpuQuotaUsec: 20_000n,
    cpuPeriodUsec: 100_000n,
    cpusetCpus: "0-1",
    cpusetMems: "0",
    memoryLimitBytes: 67_108_864n,
    memorySwapLimitBytes: -1n,
    hugepageLimitBytes: { "2MB": 2_097_152n },
    unified: {},
  });
});

Deno.test("page cache does not count as memory that the kernel cannot take back", () => {
  const one = {
    "memory/memory.usage_in_bytes": "100000",
    "memory/memory.stat": "cache 9\ninactive_file 1\nactive_file 2\n" +
      "total_cache 9\ntotal_inactive_file 30000\ntotal_active_file 20000\ntotal_unevictable 5\n",
  };
  assert.equal(readUnreclaimableMemory(1, files(one)), 50_000n);
  const two = {
    "memory/memory.current": "100000",
    "memory/memory.stat": "anon 7\nfile 60000\ninactive_file 30000\nactive_file 30000\nshmem 9\n",
  };
  assert.equal(readUnreclaimableMemory(2, files(two)), 40_000n);
  const ahead = { ...two, "memory/memory.current": "59999" };
  assert.equal(readUnreclaimableMemory(2, files(ahead)), 0n, "the counters are read one by one");
  assert.equal(readUnreclaimableMemory(2, files({ "memory/memory.current": "7" })), 7n);
});

Deno.test("no limit of version 1 is -1, whatever the size of a page", () => {
  for (const none of ["9223372036854771712", "9223372036854710272", "9223372036854775807"]) {
    const read = files({ "memory/memory.limit_in_bytes": none, "cpu/cpu.cfs_quota_us": "-1" });
    const limits = readLimits(1, read, NOTHING);
    assert.equal(limits.memoryLimitBytes, -1n, none);
    assert.equal(limits.cpuQuotaUsec, -1n);
  }
});

Deno.test("limits of a version 2 group are read from its files", () => {
  const read = files({
    "cpu/cpu.weight": "20",
    "cpu/cpu.max": "20000 100000",
    "cpuset/cpuset.cpus": "",
    "memory/memory.max": "67108864",
    "memory/memory.swap.max": "1048576",
    "memory/memory.high": "60000000",
    "hugetlb/hugetlb.2MB.max": "max",
  });
  const asked = { pageSizes: ["2MB"], unified: ["memory.high", "memory.low"] };
  assert.deepEqual(readLimits(2, read, asked), {
    cpuWeight: 20n,
    cpuQuotaUsec: 20_000n,
    cpuPeriodUsec: 100_000n,
    cpusetCpus: "",
    memoryLimitBytes: 67_108_864n,
    memorySwapLimitBytes: 68_157_440n,
    hugepageLimitBytes: { "2MB": -1n },
    unified: { "memory.high": "60000000" },
  });
});

Deno.test("on version 2 memory and swap together are not limited if one of them is not", () => {
  const limitsOf = (memory: string, swap: string) =>
    readLimits(2, files({ "memory/memory.max": memory, "memory/memory.swap.max": swap }), NOTHING);
  assert.equal(limitsOf("4096", "max").memorySwapLimitBytes, -1n);
  assert.equal(limitsOf("max", "4096").memorySwapLimitBytes, -1n);
  assert.equal(limitsOf("4096", "0").memorySwapLimitBytes, 4096n);
  const cpu = readLimits(2, files({ "cpu/cpu.max": "max 100000" }), NOTHING);
  assert.deepEqual([cpu.cpuQuotaUsec, cpu.cpuPeriodUsec], [-1n, 100_000n]);
});

Deno.test("what the kernel does not tell is left out", () => {
  for (const version of [1, 2] as const) {
    assert.deepEqual(
      readLimits(version, () => undefined, { pageSizes: ["2MB"], unified: ["a.b"] }),
      {
        hugepageLimitBytes: {},
        unified: {},
      },
    );
    assert.equal(readUnreclaimableMemory(version, () => undefined), undefined);
  }
});
