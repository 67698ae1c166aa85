/**
 * What a kubelet does to pods over the days: crashed containers made again, pods made again, pods deleted
 * with their grace, and the server killed in the middle of it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Cgroups, createLinuxKernel, detectNodeFacts } from "../../src/sys/mod.ts";
import { ContainerState, PodSandboxConfig, PodSandboxState } from "../../src/proto/mod.ts";
import {
  type BenchContainer,
  eventually,
  onWorkbench,
  refused,
  type Workbench,
} from "../support/workbench.ts";

const cgroups = new Cgroups({ kernel: createLinuxKernel(), layout: detectNodeFacts().cgroups });

const test = onWorkbench();

type Sandbox = Awaited<ReturnType<Workbench["sandbox"]>>;

/** A container `main` of a sandbox in one of its attempts. */
function attempt(bench: Workbench, sandbox: Sandbox, number: number, script: string) {
  return bench.created(sandbox, {
    script,
    container: { metadata: { name: "main", attempt: number } },
  });
}

async function crashed(
  bench: Workbench,
  sandbox: Sandbox,
  number: number,
): Promise<BenchContainer> {
  const container = await attempt(bench, sandbox, number, `echo attempt ${number}; exit ${number}`);
  await bench.runtime.startContainer({ containerId: container.id });
  assert.equal((await container.ended()).exitCode, number);
  return container;
}

/** Attempts that are listed of a sandbox, with their states, oldest first. */
async function listed(bench: Workbench, { id }: Sandbox): Promise<[number, ContainerState][]> {
  const { containers } = await bench.runtime.listContainers({ filter: { podSandboxId: id } });
  return containers.map(({ metadata, state }) => [metadata?.attempt ?? -1, state]);
}

const { CONTAINER_CREATED: CREATED, CONTAINER_RUNNING: RUNNING, CONTAINER_EXITED: EXITED } =
  ContainerState;

test("a crashed container is made again with the next attempt, the old ones stay listed with their logs", async (bench) => {
  const sandbox = await bench.sandbox();
  const old = [await crashed(bench, sandbox, 0), await crashed(bench, sandbox, 1)];
  const third = await attempt(bench, sandbox, 2, "echo attempt 2; sleep 600");
  await bench.restart("kill");
  assert.deepEqual(await listed(bench, sandbox), [[0, EXITED], [1, EXITED], [2, CREATED]]);
  await bench.runtime.startContainer({ containerId: third.id });
  await third.says("attempt 2");
  const logs = new Set<string>();
  for (const [number, container] of [...old, third].entries()) {
    const { logPath, metadata } = await container.status();
    logs.add(logPath);
    assert.equal(metadata?.attempt, number);
    assert.deepEqual((await container.log()).map(({ text }) => text), [`attempt ${number}`]);
  }
  assert.equal(logs.size, 3, "each has a log of its own");

  // The middle one first, then the newest although it runs, then the oldest.
  const [first, second] = old;
  await bench.runtime.removeContainer({ containerId: second!.id });
  assert.deepEqual(await listed(bench, sandbox), [[0, EXITED], [2, RUNNING]]);
  await refused(crashed(bench, sandbox, 0), "ALREADY_EXISTS", first!.id);
  await bench.runtime.removeContainer({ containerId: third.id });
  assert.deepEqual(await listed(bench, sandbox), [[0, EXITED]]);
  await bench.runtime.removeContainer({ containerId: first!.id });
  assert.deepEqual(await listed(bench, sandbox), []);
  // A name that was removed is free, whatever its attempt.
  await crashed(bench, sandbox, 1);
});

test("created_at increases from attempt to attempt over restarts, and no end lies before its start", async (bench) => {
  const sandbox = await bench.sandbox();
  const made: BenchContainer[] = [];
  for (let number = 0; number < 4; number++) {
    made.push(await crashed(bench, sandbox, number));
    if (number === 1) await bench.restart("kill");
  }
  // One that never ran has an end, too.
  const unborn = await attempt(bench, sandbox, 4, "exit 0");
  await bench.runtime.stopContainer({ containerId: unborn.id, timeout: 0n });
  made.push(unborn);
  const { images } = await bench.client.images.listImages({});
  let before = (await bench.runtime.podSandboxStatus({ podSandboxId: sandbox.id })).status!
    .createdAt;
  for (const container of made) {
    const { createdAt, startedAt, finishedAt, imageId } = await container.status();
    assert.ok(createdAt > before, "created after the one before");
    assert.ok(finishedAt > (startedAt || createdAt));
    assert.ok(startedAt === 0n || startedAt > createdAt);
    assert.ok(images.some(({ id }) => id === imageId), "image_id is the id of an image");
    before = createdAt;
  }
  const { containers } = await bench.runtime.listContainers({});
  for (const container of containers) {
    const { status } = await bench.runtime.containerStatus({ containerId: container.id });
    assert.equal(container.createdAt, status?.createdAt);
    assert.equal(container.imageId, status?.imageId);
  }
});

test("a sandbox is made again with the next attempt while the old one is still listed", async (bench) => {
  const first = await bench.sandbox({ name: "again" });
  const container = await bench.created(first);
  await bench.runtime.startContainer({ containerId: container.id });
  const config = PodSandboxConfig.fromPartial({
    ...first.config,
    metadata: { ...first.config.metadata!, attempt: 1 },
  });
  await bench.runtime.stopPodSandbox({ podSandboxId: first.id });
  await bench.restart("kill");
  await refused(
    bench.runtime.runPodSandbox({ config: first.config }),
    "ALREADY_EXISTS",
    first.id,
  );
  const { podSandboxId } = await bench.runtime.runPodSandbox({ config });
  const states = async () =>
    (await bench.runtime.listPodSandbox({})).items.map(({ id, metadata, state }) =>
      [id, metadata?.attempt, state] as const
    );
  assert.deepEqual(await states(), [
    [first.id, 0, PodSandboxState.SANDBOX_NOTREADY],
    [podSandboxId, 1, PodSandboxState.SANDBOX_READY],
  ]);
  // The same container, first attempt, in both.
  const again = await bench.created({ id: podSandboxId, config });
  await bench.runtime.startContainer({ containerId: again.id });
  await bench.runtime.removePodSandbox({ podSandboxId: first.id });
  assert.equal((await again.status()).state, RUNNING, "the old one's removal leaves the new alone");
  assert.equal(await again.sh("echo well"), "well");
});

const STUBBORN = 'trap "echo heard" TERM; echo ready; while :; do sleep 0.1; done';
const POLITE = 'trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 1000 & wait $!; done';

test("a pod is deleted as the kubelet does it: preStop by exec, SIGTERM, SIGKILL, then the sandbox", async (bench) => {
  const sandbox = await bench.sandbox();
  const containers = [];
  for (const [name, script] of [["polite", POLITE], ["stubborn", STUBBORN]] as const) {
    const container = await bench.created(sandbox, { script, container: { metadata: { name } } });
    await bench.runtime.startContainer({ containerId: container.id });
    await container.says("ready");
    containers.push(container);
  }
  const [polite, stubborn] = containers;
  // Only the stubborn one uses up its grace.
  await Promise.all(([[polite, 60n], [stubborn, 1n]] as const).map(async ([container, timeout]) => {
    assert.equal((await container!.exec("echo preStop >/proc/1/fd/1")).exitCode, 0);
    await bench.runtime.stopContainer(
      { containerId: container!.id, timeout },
      { timeoutMs: 120_000 },
    );
  }));
  const texts = async (container: BenchContainer) =>
    (await container.log()).map(({ text }) => text);
  assert.deepEqual(await texts(polite!), ["ready", "preStop", "bye"]);
  assert.deepEqual(await texts(stubborn!), ["ready", "preStop", "heard"]);
  assert.equal((await polite!.status()).exitCode, 7);
  assert.equal((await stubborn!.status()).exitCode, 137);
  await bench.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
  for (const { id } of containers) await bench.runtime.removeContainer({ containerId: id });
  await bench.runtime.removePodSandbox({ podSandboxId: sandbox.id });
  assert.deepEqual(await bench.node.residue(), []);
});

test("many stops at once, the longest grace there is and none at all, end a container at the nearest", async (bench) => {
  const container = await bench.pod({ script: STUBBORN });
  await container.says("ready");
  const stop = (timeout: bigint) =>
    bench.runtime.stopContainer({ containerId: container.id, timeout }, { timeoutMs: 120_000 });
  const waiting = [2n ** 63n - 1n, 900n, 2n ** 31n, 600n].map(stop);
  await container.says("heard");
  assert.equal((await container.status()).state, RUNNING);
  await Promise.all([...waiting, stop(900n), stop(0n)]);
  assert.equal((await container.status()).exitCode, 137);
  const heard = (await container.log()).filter(({ text }) => text === "heard");
  assert.equal(heard.length, 1, "one stop signal, however many stops");
});

test("a stop that the server's death cut off is taken up by the kubelet's next call", async (bench) => {
  const container = await bench.pod({ script: STUBBORN });
  await container.says("ready");
  const cutOff = bench.runtime.stopContainer({ containerId: container.id, timeout: 600n })
    .catch(() => {});
  await container.says("heard");
  await bench.restart("kill");
  await cutOff;
  assert.equal((await container.status()).state, RUNNING, "it was given its time");
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 1n });
  const { exitCode, reason } = await container.status();
  assert.deepEqual([exitCode, reason], [137, "Error"]);
});

test("a stop ends the commands that run in the container, and their calls are answered", async (bench) => {
  const container = await bench.pod({ script: POLITE });
  await container.says("ready");
  const command = container.exec('trap "" TERM; echo running >/proc/1/fd/1; sleep 600', 600).then(
    ({ exitCode }) => exitCode,
    (error: { code: number }) => error.code,
  );
  await container.says("running");
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 30n });
  assert.equal((await container.status()).exitCode, 7);
  assert.notEqual(await command, 0);
  await refused(container.exec("true"), "FAILED_PRECONDITION", container.id);
});

/** Freezes a container as `pause` of a runtime does. */
async function freeze(bench: Workbench, { id }: BenchContainer): Promise<void> {
  const { info } = await bench.runtime.containerStatus({ containerId: id, verbose: true });
  const { cgroupPath } = JSON.parse(info["info"] ?? "{}") as { cgroupPath: string };
  if (cgroups.version === 2) {
    cgroups.write(cgroupPath, "memory", "cgroup.freeze", "1");
  } else {
    cgroups.write(cgroupPath, "freezer", "freezer.state", "FROZEN");
    await eventually(
      "it is frozen",
      () => cgroups.read(cgroupPath, "freezer", "freezer.state") === "FROZEN" || undefined,
    );
  }
}

test("a paused container's log can be reopened; it hears its stop signal, and can be killed and removed", async (bench) => {
  const sandbox = await bench.sandbox();
  const start = async (name: string, script: string) => {
    const container = await bench.created(sandbox, { script, container: { metadata: { name } } });
    await bench.runtime.startContainer({ containerId: container.id });
    await container.says("ready");
    await freeze(bench, container);
    assert.equal((await container.status()).state, RUNNING, "paused counts as running");
    return container;
  };
  const polite = await start("polite", POLITE);
  const { logPath } = await polite.status();
  await Deno.rename(logPath, `${logPath}.1`);
  await bench.runtime.reopenContainerLog({ containerId: polite.id });
  assert.ok((await Deno.stat(logPath)).isFile);
  await bench.runtime.stopContainer({ containerId: polite.id, timeout: 60n });
  assert.equal((await polite.status()).exitCode, 7, "it said goodbye");
  const killed = await start("killed", STUBBORN);
  await bench.runtime.stopContainer({ containerId: killed.id, timeout: 0n });
  assert.equal((await killed.status()).exitCode, 137);
  const removed = await start("removed", POLITE);
  await bench.runtime.removeContainer({ containerId: removed.id });
  const left = await start("left", STUBBORN);
  await bench.restart("kill");
  assert.equal((await left.status()).state, RUNNING);
  await bench.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
  assert.equal((await left.status()).state, EXITED);
});
