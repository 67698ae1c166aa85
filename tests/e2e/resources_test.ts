/**
 * Limits of containers: from their creation, changed while they run, and what the kernel made of them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Cgroups, createLinuxKernel, detectNodeFacts } from "../../src/sys/mod.ts";
import { LinuxContainerResources } from "../../src/proto/mod.ts";
import {
  type BenchContainer,
  eventually,
  onWorkbench,
  refused,
  type Workbench,
} from "../support/workbench.ts";

const MIB = 1n << 20n;
const layout = detectNodeFacts().cgroups;
const cgroups = new Cgroups({ kernel: createLinuxKernel(), layout });
const V1 = cgroups.version === 1;
/** The kernel counts swap with the memory. */
const SWAP = layout.hierarchies.some(({ version, controllers, mountPoint }) =>
  version === 1 && controllers.includes("memory") &&
  [...Deno.readDirSync(mountPoint)].some(({ name }) => name === "memory.memsw.limit_in_bytes")
);

const test = onWorkbench();

function update(
  bench: Workbench,
  { id }: BenchContainer,
  linux: Partial<LinuxContainerResources>,
): Promise<unknown> {
  return bench.runtime.updateContainerResources({
    containerId: id,
    linux: LinuxContainerResources.fromPartial(linux),
  });
}

/** What Status says, without the empty fields and the OOM score, which is the process's own. */
async function shown(container: BenchContainer): Promise<Record<string, unknown>> {
  const linux = (await container.status()).resources?.linux;
  assert.ok(linux !== undefined);
  return Object.fromEntries(
    Object.entries(linux).filter(([name, value]) =>
      name !== "oomScoreAdj" && value !== 0n && value !== "" &&
      (typeof value !== "object" || Object.keys(value).length > 0)
    ),
  );
}

async function cgroupOf(bench: Workbench, { id }: BenchContainer): Promise<string> {
  const { info } = await bench.runtime.containerStatus({ containerId: id, verbose: true });
  return (JSON.parse(info["info"] ?? "{}") as { cgroupPath: string }).cgroupPath;
}

/** The kernel's own files, by what the CRI calls them. */
async function kernel(
  bench: Workbench,
  container: BenchContainer,
): Promise<Record<string, string>> {
  const path = await cgroupOf(bench, container);
  const read = (controller: string, file: string) => cgroups.read(path, controller, file) ?? "";
  if (!V1) {
    const [quota = "", period = ""] = read("cpu", "cpu.max").split(" ");
    return {
      quota,
      period,
      memory: read("memory", "memory.max"),
      cpus: read("cpuset", "cpuset.cpus"),
    };
  }
  return {
    shares: read("cpu", "cpu.shares"),
    quota: read("cpu", "cpu.cfs_quota_us"),
    period: read("cpu", "cpu.cfs_period_us"),
    memory: read("memory", "memory.limit_in_bytes"),
    cpus: read("cpuset", "cpuset.cpus"),
    ...(SWAP ? { swap: read("memory", "memory.memsw.limit_in_bytes") } : {}),
  };
}

test("ContainerStatus shows from the creation on what the kernel holds the container to", async (bench) => {
  const sandbox = await bench.sandbox();
  const limited = await bench.created(sandbox, {
    container: {
      linux: {
        resources: {
          cpuShares: 512n,
          cpuQuota: 50_000n,
          cpuPeriod: 100_000n,
          // Not a whole page: the kernel rounds.
          memoryLimitInBytes: 64n * MIB + 100n,
          cpusetCpus: "0",
        },
      },
    },
  });
  const expected = {
    cpuShares: 512n,
    cpuQuota: 50_000n,
    cpuPeriod: 100_000n,
    memoryLimitInBytes: 64n * MIB,
    cpusetCpus: "0",
    ...(SWAP ? { memorySwapLimitInBytes: 64n * MIB } : {}),
  };
  assert.deepEqual(await shown(limited), expected);
  await bench.runtime.startContainer({ containerId: limited.id });
  assert.deepEqual(await shown(limited), expected);
  await bench.restart("kill");
  assert.deepEqual(await shown(limited), expected);

  const free = await bench.created(sandbox, { container: { metadata: { name: "free" } } });
  assert.deepEqual(await shown(free), {}, "a field that nobody asked for stays empty");
});

test("UpdateContainerResources sets limits of a created and of a running container, raises, lowers and clears them", async (bench) => {
  const sandbox = await bench.sandbox();
  const container = await bench.created(sandbox);
  await update(bench, container, { memoryLimitInBytes: 64n * MIB, cpuShares: 200n });
  assert.equal((await kernel(bench, container))["memory"], String(64n * MIB));
  await bench.runtime.startContainer({ containerId: container.id });
  const steps: [
    Partial<LinuxContainerResources>,
    Record<string, unknown>,
    Record<string, string>,
  ][] = [
    [{ memoryLimitInBytes: 256n * MIB }, { memoryLimitInBytes: 256n * MIB }, {
      memory: String(256n * MIB),
    }],
    [{ memoryLimitInBytes: 128n * MIB }, { memoryLimitInBytes: 128n * MIB }, {
      memory: String(128n * MIB),
    }],
    [{ cpuQuota: 30_000n, cpuPeriod: 50_000n }, { cpuQuota: 30_000n, cpuPeriod: 50_000n }, {
      quota: "30000",
      period: "50000",
      memory: String(128n * MIB),
    }],
    [{ cpuShares: 700n }, { cpuShares: 700n, cpuQuota: 30_000n }, { quota: "30000" }],
    [{ cpusetCpus: "0" }, { cpusetCpus: "0", memoryLimitInBytes: 128n * MIB }, { cpus: "0" }],
    [{ cpuQuota: -1n }, { cpuQuota: -1n, cpuPeriod: 50_000n }, { quota: V1 ? "-1" : "max" }],
    [{ memoryLimitInBytes: -1n }, { memoryLimitInBytes: -1n }, {}],
    [{}, { memoryLimitInBytes: -1n, cpuShares: 700n }, {}],
    [{ memoryLimitInBytes: 64n * MIB }, { memoryLimitInBytes: 64n * MIB }, {
      memory: String(64n * MIB),
    }],
  ];
  for (const [asked, status, files] of steps) {
    await update(bench, container, asked);
    const now = await shown(container);
    const what = JSON.stringify(
      asked,
      (_key, value) => typeof value === "bigint" ? `${value}` : value,
    );
    for (const [field, value] of Object.entries(status)) assert.equal(now[field], value, what);
    const kernelNow = await kernel(bench, container);
    for (const [file, value] of Object.entries(files)) assert.equal(kernelNow[file], value, what);
    if (SWAP) {
      assert.equal(now["memorySwapLimitInBytes"], now["memoryLimitInBytes"], "swap goes along");
    }
  }
  const before = await shown(container);
  await bench.restart("kill");
  assert.deepEqual(await shown(container), before, "a restart does not forget");
  assert.equal((await container.status()).state, 1);
  await container.exec("exit 0");
});

test("swap can be given and taken apart from the memory", async (bench) => {
  if (!SWAP) return;
  const container = await bench.pod({
    container: { linux: { resources: { memoryLimitInBytes: 64n * MIB } } },
  });
  await update(bench, container, { memorySwapLimitInBytes: 96n * MIB });
  let now = await kernel(bench, container);
  assert.deepEqual([now["memory"], now["swap"]], [String(64n * MIB), String(96n * MIB)]);
  await update(bench, container, { memorySwapLimitInBytes: -1n });
  assert.equal((await shown(container))["memorySwapLimitInBytes"], -1n);
  await refused(
    update(bench, container, { memorySwapLimitInBytes: 32n * MIB }),
    "INVALID_ARGUMENT",
    "linux.memory_swap_limit_in_bytes",
    String(64n * MIB),
  );
  // Raised past the swap limit that was there.
  await update(bench, container, {
    memoryLimitInBytes: 80n * MIB,
    memorySwapLimitInBytes: 90n * MIB,
  });
  await update(bench, container, { memoryLimitInBytes: 300n * MIB });
  now = await kernel(bench, container);
  assert.deepEqual([now["memory"], now["swap"]], [String(300n * MIB), String(300n * MIB)]);
});

test("a memory limit below what is in use is refused with both figures, and ends nothing", async (bench) => {
  const container = await bench.pod({
    script: 'x=$(head -c 60000000 /dev/zero | tr "\\0" x); echo ready; while :; do sleep 0.1; done',
    container: { linux: { resources: { memoryLimitInBytes: 256n * MIB } } },
  });
  await container.says("ready");
  const path = await cgroupOf(bench, container);
  const before = await shown(container);
  await refused(
    update(bench, container, { memoryLimitInBytes: 32n * MIB, cpuShares: 99n }),
    "FAILED_PRECONDITION",
    `${32n * MIB} is below the`,
    "bytes that the container uses beside page cache",
    "linux.memory_limit_in_bytes",
  );
  assert.deepEqual(await shown(container), before);
  assert.equal((await kernel(bench, container))["memory"], String(256n * MIB));
  assert.equal(cgroups.oomKills(path), 0);
  assert.equal((await container.status()).state, 1, "it runs on");
  await update(bench, container, { memoryLimitInBytes: 200n * MIB });
});

test("page cache does not stand in the way of a lower memory limit", async (bench) => {
  const container = await bench.pod({
    script: "dd if=/dev/zero of=/filled bs=1M count=64 conv=fsync && echo ready; " +
      "while :; do sleep 0.1; done",
    container: { linux: { resources: { memoryLimitInBytes: 256n * MIB } } },
  });
  await container.says("ready");
  const path = await cgroupOf(bench, container);
  const usage = () =>
    BigInt(cgroups.read(path, "memory", V1 ? "memory.usage_in_bytes" : "memory.current") ?? "0");
  const limit = 16n * MIB;
  // Whatever else runs on this machine may have taken the pages: then they are read again.
  await eventually("more of the file than the limit allows is in the page cache", async () => {
    if (usage() > limit) return true;
    await container.sh("cat /filled >/dev/null");
    return undefined;
  });
  await update(bench, container, { memoryLimitInBytes: limit });
  assert.equal((await kernel(bench, container))["memory"], String(limit));
  assert.ok(usage() <= limit);
  assert.equal(cgroups.oomKills(path), 0);
  assert.equal((await container.status()).state, 1, "it runs on");
});

test("an update that is out of range, or too small, or not for this node is refused by field", async (bench) => {
  const container = await bench.pod();
  const before = await kernel(bench, container);
  const wrong: [
    Partial<LinuxContainerResources>,
    "INVALID_ARGUMENT" | "FAILED_PRECONDITION",
    string,
  ][] = [
    [{ memoryLimitInBytes: 1n }, "INVALID_ARGUMENT", "linux.memory_limit_in_bytes"],
    [{ memoryLimitInBytes: -2n }, "INVALID_ARGUMENT", "linux.memory_limit_in_bytes"],
    [{ memorySwapLimitInBytes: 64n * MIB }, "INVALID_ARGUMENT", "linux.memory_swap_limit_in_bytes"],
    [{ cpuPeriod: 5n }, "INVALID_ARGUMENT", "linux.cpu_period"],
    [{ cpuQuota: 5n }, "INVALID_ARGUMENT", "linux.cpu_quota"],
    [{ cpuShares: -5n }, "INVALID_ARGUMENT", "linux.cpu_shares"],
    [{ cpusetCpus: "a-b" }, "INVALID_ARGUMENT", "linux.cpuset_cpus"],
    [{ unified: { "../memory.max": "1" } }, "INVALID_ARGUMENT", "linux.unified"],
    // In range, and refused by the kernel; what it took before is taken back.
    [{ cpuShares: 77n, cpusetCpus: "4000" }, "FAILED_PRECONDITION", "cpuset"],
  ];
  if (V1) wrong.push([{ unified: { "memory.high": "1" } }, "FAILED_PRECONDITION", "linux.unified"]);
  for (const [asked, code, says] of wrong) {
    await refused(update(bench, container, asked), code, says);
  }
  assert.deepEqual(await kernel(bench, container), before);
  assert.equal((await shown(container))["cpuShares"], undefined);
  await refused(
    bench.runtime.updateContainerResources({
      containerId: container.id,
      windows: { cpuShares: 1n } as never,
    }),
    "UNIMPLEMENTED",
    "windows",
  );
});

test("only a container that is created or running can be given other limits", async (bench) => {
  const linux = LinuxContainerResources.fromPartial({ cpuShares: 100n });
  await refused(
    bench.runtime.updateContainerResources({ containerId: "f".repeat(64), linux }),
    "NOT_FOUND",
  );
  const container = await bench.pod({ script: "exit 0" });
  await container.ended();
  await refused(
    update(bench, container, linux),
    "FAILED_PRECONDITION",
    "exited",
    "created or running",
  );
});

test("updates of one container that come together are made one after the other", async (bench) => {
  const container = await bench.pod();
  const sizes = [50n, 60n, 70n, 80n, 90n].map((size) => size * MIB);
  await Promise.all(
    sizes.map((size) =>
      update(bench, container, { memoryLimitInBytes: size, cpuShares: size / MIB })
    ),
  );
  const now = await shown(container);
  assert.equal(now["memoryLimitInBytes"], (now["cpuShares"] as bigint) * MIB);
  assert.equal((await kernel(bench, container))["memory"], String(now["memoryLimitInBytes"]));
});

test("an update that a kill -9 cut off is finished by the next start, wherever it was", async (bench) => {
  const container = await bench.pod();
  await update(bench, container, { memoryLimitInBytes: 64n * MIB, cpuShares: 100n });
  let size = 64n * MIB;
  for (const gate of ["intent.done", "runtime-update.done"]) {
    size += 8n * MIB;
    await bench.restart("kill", { start: { faultGate: `kill:update-container.${gate}` } });
    await assert.rejects(update(bench, container, { memoryLimitInBytes: size }), gate);
    await bench.server.ended;
    await bench.restart("kill");
    await eventually(
      `${gate}: the update is finished`,
      async () => (await shown(container))["memoryLimitInBytes"] === size || undefined,
    );
    assert.equal((await kernel(bench, container))["memory"], String(size), gate);
    assert.equal((await shown(container))["cpuShares"], 100n, gate);
  }
});

test("the OOM score of the status is that of the process, which an update leaves alone", async (bench) => {
  const container = await bench.pod({
    container: { linux: { resources: { oomScoreAdj: 750n } } },
  });
  const { pid } = await container.info();
  const score = () => Deno.readTextFileSync(`/proc/${pid}/oom_score_adj`).trim();
  assert.equal(score(), "750");
  assert.equal((await container.status()).resources?.linux?.oomScoreAdj, 750n);
  await update(bench, container, { oomScoreAdj: 900n, cpuShares: 30n });
  assert.equal(score(), "750");
  assert.equal((await container.status()).resources?.linux?.oomScoreAdj, 750n);
});

/** A shell command that needs far more memory than any container here has, in a process of its own. */
const GREEDY = "sh -c 'x=$(yes | head -c 200000000)'";

test("a child that the kernel kills for lack of memory is not the container's end, nor its reason", async (bench) => {
  const script = (onTerm: string) =>
    `trap "${onTerm}" TERM; ${GREEDY}; echo "child $?"; while :; do sleep 0.1; done`;
  const linux = { resources: { memoryLimitInBytes: 32n * MIB } };
  const sandbox = await bench.sandbox();
  const start = async (name: string, onTerm: string) => {
    const container = await bench.created(sandbox, {
      script: script(onTerm),
      container: { metadata: { name }, linux },
    });
    await bench.runtime.startContainer({ containerId: container.id });
    return container;
  };
  const polite = await start("polite", "exit 0");
  const stubborn = await start("stubborn", "");
  for (const container of [polite, stubborn]) {
    await container.says("child 137");
    assert.ok((cgroups.oomKills(await cgroupOf(bench, container)) ?? 0) > 0);
    assert.equal((await container.status()).state, 1, "it goes on");
    assert.equal((await container.status()).reason, "");
  }
  await bench.runtime.stopContainer({ containerId: polite.id, timeout: 30n });
  await bench.runtime.stopContainer({ containerId: stubborn.id, timeout: 0n });
  const polites = await polite.status();
  assert.deepEqual([polites.exitCode, polites.reason], [0, "Completed"]);
  const killed = await stubborn.status();
  assert.deepEqual(
    [killed.exitCode, killed.reason],
    [137, "Error"],
    "it was killed, not for memory",
  );
});

test("at a limit of the pod the container that is killed is OOMKilled, and its neighbour is not", async (bench) => {
  const sandbox = await bench.sandbox();
  const pod = sandbox.config.linux?.cgroupParent ?? "";
  cgroups.write(pod, "memory", V1 ? "memory.limit_in_bytes" : "memory.max", String(48n * MIB));
  const neighbour = await bench.created(sandbox, {
    container: { metadata: { name: "neighbour" } },
  });
  const greedy = await bench.created(sandbox, {
    script: `exec ${GREEDY}`,
    container: { metadata: { name: "greedy" } },
  });
  for (const { id } of [neighbour, greedy]) await bench.runtime.startContainer({ containerId: id });
  const ended = await greedy.ended();
  assert.deepEqual([ended.exitCode, ended.reason], [137, "OOMKilled"]);
  assert.equal(await neighbour.sh("echo well"), "well");
  // Its monitor may have heard of the pod's trouble, too: 137 alone is no lack of memory.
  const { pid } = await neighbour.info();
  Deno.kill(pid, "SIGKILL");
  const killed = await neighbour.ended();
  assert.deepEqual([killed.exitCode, killed.reason], [137, "Error"]);
});

test("what a pod may use is changed while it is ready, and is so after a restart", async (bench) => {
  const sandbox = await bench.sandbox();
  const update = (podSandboxId: string) =>
    bench.runtime.updatePodSandboxResources({
      podSandboxId,
      resources: { cpuShares: 777n, memoryLimitInBytes: 1n << 40n },
    });
  await refused(update("f".repeat(64)), "NOT_FOUND");
  await update(sandbox.id);
  const resources = async () => {
    const { info } = await bench.runtime.podSandboxStatus({
      podSandboxId: sandbox.id,
      verbose: true,
    });
    return JSON.parse(info["info"] ?? "{}").resources;
  };
  const changed = await resources();
  assert.deepEqual([changed.cpuShares, changed.memoryLimitInBytes], ["777", String(1n << 40n)]);
  await bench.restart("kill");
  assert.deepEqual(await resources(), changed);
  await bench.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
  await refused(update(sandbox.id), "FAILED_PRECONDITION", sandbox.id);
});
