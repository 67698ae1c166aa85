/** What a server that is killed, stopped or doubled does to the pods. @module */
import assert from "node:assert/strict";
import { ContainerState, PodSandboxState } from "../../src/proto/mod.ts";
import { type BenchContainer, eventually, onWorkbench, refused } from "../support/workbench.ts";

const test = onWorkbench();

test("SIGTERM stops the server within 5 s, even with a call under way, and containers go on", async (bench) => {
  const container = await bench.pod();
  const { pid } = await container.info();
  const hanging = container.exec("sleep 600", 600).catch((error: Error) => error.message);
  await eventually("the exec runs", async () => {
    const { stdout } = await container.exec("ps");
    return stdout.includes("sleep 600") || undefined;
  });
  const started = performance.now();
  await bench.restart("stop", {
    meanwhile: () => {
      assert.ok(performance.now() - started < 10_000, "far from hanging");
      Deno.statSync(`/proc/${pid}`);
      return Promise.resolve();
    },
  });
  await hanging;
  assert.equal((await container.info()).pid, pid);
  assert.equal(await container.sh("echo well"), "well");
});

test("the exit code and time of a container that ended while the server was dead are right", async (bench) => {
  const container = await bench.pod({ script: "sleep 1.5; exit 3" });
  const { startedAt } = await container.status();
  await bench.restart("kill", {
    meanwhile: () => new Promise((resolve) => setTimeout(resolve, 3_000)),
  });
  const status = await container.status();
  assert.deepEqual(
    [status.state, status.exitCode, status.reason],
    [ContainerState.CONTAINER_EXITED, 3, "Error"],
  );
  assert.equal(status.startedAt, startedAt);
  const ranMs = Number((status.finishedAt - startedAt) / 1_000_000n);
  assert.ok(ranMs >= 1_400 && ranMs < 2_900, `it ran for ${ranMs} ms, not until the start`);
});

test("a container that ran out of memory while the server was dead is OOMKilled", async (bench) => {
  const container = await bench.pod({
    script: "sleep 0.7; x=$(yes | head -c 200000000); echo survived",
    container: { linux: { resources: { memoryLimitInBytes: 32n << 20n } } },
  });
  const { pid } = await container.info();
  await bench.restart("kill", {
    meanwhile: () => eventually("it ended", () => isGone(pid) || undefined).then(() => {}),
  });
  const { exitCode, reason } = await container.ended();
  assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
});

test("a container whose monitor was killed runs on, and then is MonitorLost with 255", async (bench) => {
  const container = await bench.pod();
  const { pid } = await container.info();
  Deno.kill(parentOf(pid), "SIGKILL");
  await eventually("it has a new parent", () => !isMonitor(parentOf(pid)) || undefined);
  assert.equal((await container.status()).state, ContainerState.CONTAINER_RUNNING);
  assert.equal(await container.sh("echo well"), "well");
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 1n });
  const { exitCode, reason } = await container.ended();
  assert.deepEqual([exitCode, reason], [255, "MonitorLost"]);
});

test("everything is as it was after kill -9: sandboxes, containers, logs, execs", async (bench) => {
  const ready = await bench.pod();
  const done = await bench.pod({ script: "exit 4" });
  await done.ended();
  const stopped = await bench.sandbox();
  await bench.runtime.stopPodSandbox({ podSandboxId: stopped.id });
  // Enough of them that an order by id is not that of their making.
  for (let more = 0; more < 5; more++) await bench.sandbox();
  const seen = async () => ({
    sandboxes: (await bench.runtime.listPodSandbox({})).items,
    containers: (await bench.runtime.listContainers({})).containers,
    statuses: await Promise.all(
      [ready, done].map((container: BenchContainer) => container.status()),
    ),
    images: (await bench.client.images.listImages({})).images.sort(byId),
  });
  const before = await seen();
  await bench.restart("kill");
  assert.deepEqual(await seen(), before);
  assert.equal(before.sandboxes.find(({ id }) => id === stopped.id)?.state, 1);
  assert.equal(await ready.sh("echo well"), "well");
  await ready.says("hello");
});

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

test("a second server on the same root refuses to start and says who has it", async (bench) => {
  const { node } = bench;
  const { code, stderr } = await startSecond(bench.server.pid, node.configPath);
  assert.notEqual(code, 0);
  assert.match(stderr, /another|already|in use|lock/i);
  assert.ok(stderr.includes(node.root), stderr);
  assert.ok((await bench.runtime.version({})).runtimeName !== "", "the first goes on");
});

async function startSecond(
  first: number,
  configPath: string,
): Promise<{ code: number; stderr: string }> {
  const command = Deno.readTextFileSync(`/proc/${first}/cmdline`).split("\0").slice(0, -1);
  const [program = "", ...args] = command;
  assert.ok(args.includes(configPath));
  const { code, stderr } = await new Deno.Command(program, { args, stdout: "null" }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

test("a socket that nobody answers on is replaced, with modes that keep others out", async (bench) => {
  const { node } = bench;
  await bench.restart("kill", {
    meanwhile: () => {
      assert.ok(Deno.statSync(node.socket).isSocket, "the dead server's socket is still there");
      return Promise.resolve();
    },
  });
  assert.equal((Deno.statSync(node.socket).mode ?? 0) & 0o777, 0o660);
  const folder = node.socket.slice(0, node.socket.lastIndexOf("/"));
  assert.equal((Deno.statSync(folder).mode ?? 0) & 0o777, 0o700);
});

test("SIGUSR1 opens no debugger, and the server goes on", async (bench) => {
  const { pid } = bench.server;
  const before = listeners();
  for (let round = 0; round < 3; round++) {
    Deno.kill(pid, "SIGUSR1");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(!listeners().has("0100007F:240D") || before.has("0100007F:240D"), "port 9229 is shut");
  assert.ok((await bench.runtime.version({})).runtimeName !== "");
});

/** Local addresses that are listened on, as the kernel writes them. */
function listeners(): Set<string> {
  return new Set(
    Deno.readTextFileSync("/proc/net/tcp").split("\n").map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A").map((fields) => fields[1] ?? ""),
  );
}

test("a sandbox whose stop the kill cut off is stopped by the next server", async (bench) => {
  const container = await bench.pod({ script: 'trap "" TERM; while :; do sleep 0.1; done' });
  const stop = bench.runtime.stopPodSandbox({ podSandboxId: container.sandboxId })
    .catch((error: Error) => error.message);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await bench.restart("kill");
  await stop;
  await bench.runtime.stopPodSandbox({ podSandboxId: container.sandboxId });
  const { status } = await bench.runtime.podSandboxStatus({ podSandboxId: container.sandboxId });
  assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY);
  assert.equal((await container.status()).exitCode, 137);
  await refused(container.exec("true"), "FAILED_PRECONDITION");
});

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
}

function isMonitor(pid: number): boolean {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/comm`) === "conmon\n" &&
      !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

function isGone(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return true;
  }
}
