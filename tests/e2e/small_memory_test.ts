/**
 * Pods with very little memory: what it takes to start a container is not charged to them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Cgroups, createLinuxKernel, detectNodeFacts } from "../../src/sys/mod.ts";
import { type BenchContainer, onWorkbench } from "../support/workbench.ts";

const SMALL = 6n << 20n;
const ROUNDS = 20;
const cgroups = new Cgroups({ kernel: createLinuxKernel(), layout: detectNodeFacts().cgroups });

const test = onWorkbench({
  prepare: async ({ configPath }) => {
    const text = await Deno.readTextFile(configPath);
    const table = "[sauropod.runtime.runtimes.runc]\n";
    assert.ok(text.includes(table));
    await Deno.writeTextFile(
      configPath,
      text.replace(table, `${table}container_min_memory = "6MiB"\n`),
    );
  },
});

/** Where a process is, as the kernel tells. */
function cgroupsOf(pid: number): string {
  return Deno.readTextFileSync(`/proc/${pid}/cgroup`);
}

function monitorOf(container: BenchContainer, pid: number): number {
  const parent = Number(
    /^\d+ \(.*\) \S (\d+)/s.exec(Deno.readTextFileSync(`/proc/${pid}/stat`))?.[1],
  );
  const args = Deno.readTextFileSync(`/proc/${parent}/cmdline`).split("\0");
  assert.ok(args.includes("--conmon-pidfile") && args.includes(container.id), args.join(" "));
  return parent;
}

test("a container of 6 MiB in a pod of 6 MiB starts every time, its monitor outside of the pod", async (bench) => {
  const sandbox = await bench.sandbox();
  const pod = sandbox.config.linux?.cgroupParent ?? "";
  const file = cgroups.version === 1 ? "memory.limit_in_bytes" : "memory.max";
  cgroups.write(pod, "memory", file, String(SMALL));
  for (let round = 0; round < ROUNDS; round++) {
    const container = await bench.created(sandbox, {
      script: 'trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done',
      container: {
        metadata: { name: "small", attempt: round },
        linux: { resources: { memoryLimitInBytes: SMALL } },
      },
    });
    await bench.runtime.startContainer({ containerId: container.id });
    const { pid } = await container.info();
    assert.equal((await container.status()).resources?.linux?.memoryLimitInBytes, SMALL);
    assert.ok(cgroupsOf(pid).includes(container.id));
    const monitor = monitorOf(container, pid);
    assert.equal(
      cgroupsOf(monitor),
      cgroupsOf(bench.server.pid),
      "the monitor is beside the server",
    );
    assert.equal(cgroups.oomKills(pod) ?? 0, 0, `round ${round}`);
    await bench.runtime.removeContainer({ containerId: container.id });
  }
});
