/** PID namespaces: the pod's, another container's, the node's; and what ends with whom. @module */
import assert from "node:assert/strict";
import { ContainerState, NamespaceMode, PodSandboxState } from "../../src/proto/mod.ts";
import { sauropod } from "../support/command_line.ts";
import { awaitNoResidue } from "../support/picture.ts";
import {
  BenchContainer,
  eventually,
  onWorkbench,
  refused,
  type Workbench,
} from "../support/workbench.ts";

const test = onWorkbench();

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;

/** Namespace options of a pod or a container. */
function options(namespaceOptions: {
  readonly pid?: NamespaceMode;
  readonly network?: NamespaceMode;
  readonly ipc?: NamespaceMode;
  readonly targetId?: string;
}) {
  return { linux: { securityContext: { namespaceOptions } } };
}

const SHARED = options({ pid: POD });

interface SandboxInfo {
  readonly state: PodSandboxState | undefined;
  /** 0 if no process holds a PID namespace. */
  readonly holder: number;
}

async function sandboxInfo(bench: Workbench, podSandboxId: string): Promise<SandboxInfo> {
  const { status, info } = await bench.runtime.podSandboxStatus({ podSandboxId, verbose: true });
  const { pid } = JSON.parse(info["info"] ?? "{}") as { pid: number };
  return { state: status?.state, holder: pid };
}

/** A started container in a sandbox, of another name than its fellows. */
async function started(
  bench: Workbench,
  sandbox: Awaited<ReturnType<Workbench["sandbox"]>>,
  name: string,
  container: object = {},
  script?: string,
): Promise<BenchContainer> {
  const made = await bench.created(sandbox, {
    container: { metadata: { name }, ...container },
    ...(script === undefined ? {} : { script }),
  });
  await bench.runtime.startContainer({ containerId: made.id });
  return made;
}

/** Begins the seconds of a long sleep that no other process of the machine has: by them it is found. */
const MARK = 10_000 + crypto.getRandomValues(new Uint32Array(1))[0]! % 90_000;

/** True if the node has a process with this argument. */
function runs(argument: string): boolean {
  return [...Deno.readDirSync("/proc")].some(({ name }) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return Deno.readTextFileSync(`/proc/${name}/cmdline`).split("\0").includes(argument);
    } catch {
      return false; // it has ended
    }
  });
}

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

const pidNamespaceOf = (container: BenchContainer) => container.sh("readlink /proc/self/ns/pid");

test("containers of a pod with a PID namespace of its own see each other, and nobody else", async (bench) => {
  const sandbox = await bench.sandbox({ pod: SHARED });
  const one = await started(bench, sandbox, "one", SHARED, `exec sleep ${MARK}7001`);
  // Without options a container has what its pod was asked for.
  const two = await started(bench, sandbox, "two", {}, `exec sleep ${MARK}7002`);
  const alone = await started(bench, sandbox, "alone", options({ pid: CONTAINER }));
  const seen = await one.sh("ps -o args");
  for (const part of ["/catatonit -P", `sleep ${MARK}7001`, `sleep ${MARK}7002`]) {
    assert.ok(seen.includes(part), `${part} in ${seen}`);
  }
  assert.equal(await pidNamespaceOf(one), await pidNamespaceOf(two));
  assert.notEqual(await pidNamespaceOf(one), Deno.readLinkSync("/proc/self/ns/pid"));
  assert.notEqual(await pidNamespaceOf(alone), await pidNamespaceOf(one));
  assert.doesNotMatch(await alone.sh("ps -o args"), new RegExp(`catatonit|${MARK}`));
  const { status } = await bench.runtime.podSandboxStatus({ podSandboxId: sandbox.id });
  assert.equal(status?.linux?.namespaces?.options?.pid, POD);
});

test("the holder of a PID namespace has no rights, little CPU, nothing to write, and reaps orphans", async (bench) => {
  const sandbox = await bench.sandbox({ pod: SHARED });
  const { holder } = await sandboxInfo(bench, sandbox.id);
  const status = Deno.readTextFileSync(`/proc/${holder}/status`);
  for (const line of [/^Uid:\t65535\t65535/m, /^CapBnd:\t0+$/m, /^CapEff:\t0+$/m]) {
    assert.match(status, line);
  }
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^Seccomp:\t2$/m);
  const lowest = Number(Deno.readTextFileSync(`/proc/${bench.server.pid}/oom_score_adj`));
  const score = Number(Deno.readTextFileSync(`/proc/${holder}/oom_score_adj`));
  assert.ok(score === -998 || score === lowest, `${score}, own ${lowest}`);
  const root = Deno.readTextFileSync(`/proc/${holder}/mountinfo`).split("\n")
    .find((line) => line.split(" ")[4] === "/");
  assert.match(root ?? "", /^\S+ \S+ \S+ \S+ \/ ro\b/);
  const group = `${sandbox.config.linux?.cgroupParent}/crio-${sandbox.id}`;
  assert.ok(Deno.readTextFileSync(`/proc/${holder}/cgroup`).includes(group));
  for (const kind of ["net", "ipc", "uts"]) {
    const own = Deno.readLinkSync(`/proc/${holder}/ns/${kind}`);
    assert.notEqual(own, Deno.readLinkSync(`/proc/self/ns/${kind}`), kind);
  }
  const main = await started(bench, sandbox, "main", SHARED);
  for (const kind of ["net", "ipc", "uts"]) {
    const own = Deno.readLinkSync(`/proc/${holder}/ns/${kind}`);
    assert.equal(await main.sh(`readlink /proc/self/ns/${kind}`), own, kind);
  }
  // Orphans become the holder's children, and are gone when they end.
  await main.sh("for i in 1 2 3 4 5; do (sh -c 'exec sleep 0.1' &); done");
  await eventually("the orphans are reaped", async () => {
    const states = await main.sh(
      "for p in /proc/[0-9]*; do sed -n 's/^State:.//p' $p/status; done",
    );
    return /^Z|sleep 0\.1/m.test(states) || /sleep 0\.1/.test(await main.sh("ps -o args"))
      ? undefined
      : true;
  });
  // Root of a container can neither look behind it nor do more than end it.
  assert.notEqual((await main.exec("ls /proc/1/root/")).exitCode, 0);
});

test("a stopped container leaves no process behind in a PID namespace that it shares", async (bench) => {
  const leaving =
    `setsid sleep ${MARK}7101 & (setsid sleep ${MARK}7102 &) ; trap 'exit 0' TERM; wait; sleep 9999`;
  const sandbox = await bench.sandbox({ pod: SHARED });
  const main = await started(bench, sandbox, "main", SHARED, leaving);
  const fellow = await started(bench, sandbox, "fellow", SHARED);
  await eventually(
    "it has children",
    () => runs(`${MARK}7101`) && runs(`${MARK}7102`) ? true : undefined,
  );
  await bench.runtime.stopContainer({ containerId: main.id, timeout: 60n });
  assert.ok(!runs(`${MARK}7101`) && !runs(`${MARK}7102`), "they ended with it");
  assert.equal((await main.status()).state, ContainerState.CONTAINER_EXITED);
  assert.equal((await fellow.status()).state, ContainerState.CONTAINER_RUNNING);
  // The same when it ends by itself, is killed from inside, or is removed.
  const ends = await started(
    bench,
    sandbox,
    "ends",
    SHARED,
    `setsid sleep ${MARK}7103 & while ! ps -o args | grep -q '^sleep ${MARK}7103'; do :; done; exit 3`,
  );
  assert.equal((await ends.ended()).exitCode, 3);
  assert.ok(!runs(`${MARK}7103`));
  const killed = await started(
    bench,
    sandbox,
    "killed",
    SHARED,
    `setsid sleep ${MARK}7104 & exec sleep ${MARK}7105`,
  );
  await eventually("it runs", () => runs(`${MARK}7104`) && runs(`${MARK}7105`) ? true : undefined);
  await fellow.sh(
    `kill -9 $(ps -o pid,args | sed -n 's/^ *\\([0-9]*\\) sleep ${MARK}7105$/\\1/p')`,
  );
  assert.equal((await killed.ended()).exitCode, 137);
  assert.ok(!runs(`${MARK}7104`));
  const removed = await started(
    bench,
    sandbox,
    "removed",
    SHARED,
    `setsid sleep ${MARK}7106 & exec sleep ${MARK}7107`,
  );
  await eventually("it runs", () => runs(`${MARK}7106`) && runs(`${MARK}7107`) ? true : undefined);
  await bench.runtime.removeContainer({ containerId: removed.id });
  assert.ok(!runs(`${MARK}7106`) && !runs(`${MARK}7107`));
});

test("a command that runs too long in a shared PID namespace is ended with all it started", async (bench) => {
  const sandbox = await bench.sandbox({ pod: SHARED });
  const main = await started(bench, sandbox, "main", SHARED);
  const command = bench.runtime.execSync({
    containerId: main.id,
    cmd: ["sh", "-c", `setsid sleep ${MARK}7201 & sleep ${MARK}7202`],
    timeout: 2n,
  });
  await refused(command, "DEADLINE_EXCEEDED");
  assert.ok(!runs(`${MARK}7201`) && !runs(`${MARK}7202`));
  assert.equal(await main.sh("echo still here"), "still here");
});

test("a container killed for lack of memory says so in a shared PID namespace, too", async (bench) => {
  const sandbox = await bench.sandbox({ pod: SHARED });
  const resources = { memoryLimitInBytes: 32n << 20n };
  const hungry = await started(
    bench,
    sandbox,
    "hungry",
    { linux: { ...SHARED.linux, resources } },
    "exec tail /dev/zero 2>/dev/null",
  );
  const fellow = await started(bench, sandbox, "fellow", SHARED);
  const { exitCode, reason } = await hungry.ended();
  assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
  assert.equal((await fellow.status()).state, ContainerState.CONTAINER_RUNNING);
});

test("a pod whose holder ends is not ready any more; it can be stopped and run again", async (bench) => {
  const sandbox = await bench.sandbox({ pod: SHARED });
  const main = await started(bench, sandbox, "main", SHARED);
  const { holder } = await sandboxInfo(bench, sandbox.id);
  assert.ok(holder > 0);
  Deno.kill(holder, "SIGKILL");
  await eventually("the sandbox is not ready", async () => {
    const { state } = await sandboxInfo(bench, sandbox.id);
    return state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
  });
  assert.equal((await main.ended()).exitCode, 137);
  await refused(
    bench.created(sandbox, { container: { metadata: { name: "late" } } }),
    "FAILED_PRECONDITION",
    sandbox.id,
  );
  await refused(
    bench.runtime.runPodSandbox({ config: sandbox.config }),
    "ALREADY_EXISTS",
    sandbox.id,
  );
  const again = { ...sandbox.config, metadata: { ...sandbox.config.metadata!, attempt: 1 } };
  await bench.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
  await bench.runtime.runPodSandbox({ config: again });
  await bench.runtime.removePodSandbox({ podSandboxId: sandbox.id });
});

test("a pod with its own PID namespace outlives the server, and its holder is watched again", async (bench) => {
  const sandbox = await bench.sandbox({ pod: SHARED });
  const other = await bench.sandbox({ pod: SHARED });
  const main = await started(bench, sandbox, "main", SHARED);
  const before = await bench.runtime.podSandboxStatus({ podSandboxId: sandbox.id });
  const { holder } = await sandboxInfo(bench, sandbox.id);
  const lost = (await sandboxInfo(bench, other.id)).holder;
  await bench.restart("kill", {
    meanwhile: () => {
      Deno.kill(lost, "SIGKILL");
      return eventually("it has ended", () => isAlive(lost) ? undefined : true).then(() => {});
    },
  });
  assert.equal((await sandboxInfo(bench, other.id)).state, PodSandboxState.SANDBOX_NOTREADY);
  assert.deepEqual(await bench.runtime.podSandboxStatus({ podSandboxId: sandbox.id }), before);
  assert.equal((await sandboxInfo(bench, sandbox.id)).holder, holder);
  const late = await started(bench, sandbox, "late", SHARED);
  assert.equal(await pidNamespaceOf(main), await pidNamespaceOf(late));
  Deno.kill(holder, "SIGKILL");
  await eventually("the sandbox is not ready", async () => {
    const { state } = await sandboxInfo(bench, sandbox.id);
    return state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
  });
  // What was recorded as failed stays so.
  await bench.restart("kill");
  for (const { id } of [sandbox, other]) {
    assert.equal((await sandboxInfo(bench, id)).state, PodSandboxState.SANDBOX_NOTREADY);
  }
});

test("nothing holds a PID namespace after the pod was stopped", async (bench) => {
  const sandbox = await bench.sandbox({ pod: SHARED });
  await started(bench, sandbox, "main", SHARED);
  const { holder } = await sandboxInfo(bench, sandbox.id);
  await bench.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
  assert.ok(!isAlive(holder));
  assert.deepEqual([...Deno.readDirSync(`${bench.node.directory}/namespaces/pidns`)], []);
  assert.deepEqual(await sandboxInfo(bench, sandbox.id), {
    state: PodSandboxState.SANDBOX_NOTREADY,
    holder: 0,
  });
});

test("a container joins the PID namespace of another, and ends with it", async (bench) => {
  const sandbox = await bench.sandbox({ pod: options({ pid: CONTAINER }) });
  const own = options({ pid: CONTAINER });
  const target = await started(bench, sandbox, "target", own, `exec sleep ${MARK}7301`);
  const aimed = options({ pid: TARGET, targetId: target.id });
  const debug = await started(bench, sandbox, "debug", aimed);
  assert.match(
    await debug.sh("cat /proc/1/cmdline | tr '\\0' ' '"),
    new RegExp(`^sleep ${MARK}7301`),
  );
  assert.equal(await pidNamespaceOf(debug), await pidNamespaceOf(target));
  // A third joins by way of the second; a prefix of an id is enough.
  const third = await started(
    bench,
    sandbox,
    "third",
    options({ pid: TARGET, targetId: debug.id.slice(0, 20) }),
  );
  assert.equal(await pidNamespaceOf(third), await pidNamespaceOf(target));
  await bench.restart("kill");
  await third.sh("true");
  // Ended before its target, it leaves the others alone.
  await bench.runtime.stopContainer({ containerId: third.id, timeout: 30n });
  assert.equal((await target.status()).state, ContainerState.CONTAINER_RUNNING);
  const waiting = await bench.created(sandbox, {
    container: { metadata: { name: "waiting" }, ...aimed },
  });
  await bench.runtime.stopContainer({ containerId: target.id, timeout: 0n });
  assert.equal((await debug.ended()).exitCode, 137);
  await waiting.ended();
  await refused(
    bench.created(sandbox, { container: { metadata: { name: "late" }, ...aimed } }),
    "FAILED_PRECONDITION",
    "target_id",
    target.id,
  );
});

test("a target in the pod's PID namespace may end, who joined it goes on", async (bench) => {
  const sandbox = await bench.sandbox({ pod: SHARED });
  const target = await started(bench, sandbox, "target", SHARED);
  const debug = await started(
    bench,
    sandbox,
    "debug",
    options({ pid: TARGET, targetId: target.id }),
  );
  assert.match(await debug.sh("cat /proc/1/cmdline | tr '\\0' ' '"), /catatonit/);
  await bench.runtime.removeContainer({ containerId: target.id });
  assert.equal(await debug.sh("echo still here"), "still here");
});

test("a target that cannot be joined is refused, and its name is free", async (bench) => {
  const sandbox = await bench.sandbox({ pod: options({ pid: CONTAINER }) });
  const elsewhere = await bench.pod();
  const created = await bench.created(sandbox, { container: { metadata: { name: "created" } } });
  const join = (targetId: string) =>
    bench.created(sandbox, {
      container: { metadata: { name: "debug" }, ...options({ pid: TARGET, targetId }) },
    });
  await refused(join("0123456789abcdef"), "NOT_FOUND", "target_id", "0123456789abcdef");
  await refused(join(elsewhere.id), "INVALID_ARGUMENT", "target_id", elsewhere.sandboxId);
  await refused(join(created.id), "FAILED_PRECONDITION", "target_id", "created");
  await refused(join(""), "INVALID_ARGUMENT", "target_id");
  await bench.runtime.startContainer({ containerId: created.id });
  const debug = await join(created.id);
  await bench.runtime.startContainer({ containerId: debug.id });
  await refused(
    bench.runtime.runPodSandbox({
      config: bench.sandboxConfig({ pod: options({ pid: TARGET, targetId: created.id }) }),
    }),
    "INVALID_ARGUMENT",
    "namespace_options.pid",
    "TARGET",
  );
});

test("network, PID and IPC namespaces are the node's or the pod's in every combination", async (bench) => {
  const node = Object.fromEntries(
    ["net", "pid", "ipc"].map((kind) => [kind, Deno.readLinkSync(`/proc/self/ns/${kind}`)]),
  );
  const made: {
    sandbox: Awaited<ReturnType<Workbench["sandbox"]>>;
    container: BenchContainer;
    modes: Record<"net" | "pid" | "ipc", NamespaceMode>;
  }[] = [];
  for (const network of [POD, NODE]) {
    for (const pid of [POD, NODE]) {
      for (const ipc of [POD, NODE]) {
        const wanted = options({ network, pid, ipc });
        const sandbox = await bench.sandbox({ pod: wanted });
        const container = await started(bench, sandbox, "main", wanted);
        made.push({ sandbox, container, modes: { net: network, pid, ipc } });
      }
    }
  }
  const look = async () => {
    for (const { sandbox, container, modes } of made) {
      const { status } = await bench.runtime.podSandboxStatus({ podSandboxId: sandbox.id });
      const told = status?.linux?.namespaces?.options;
      assert.deepEqual({ net: told?.network, pid: told?.pid, ipc: told?.ipc }, modes);
      assert.equal(status?.network?.ip === "", modes.net === NODE);
      const { holder } = await sandboxInfo(bench, sandbox.id);
      assert.equal(holder > 0, modes.pid === POD, "a holder only where it is needed");
      for (const kind of ["net", "pid", "ipc"] as const) {
        const inside = await container.sh(`readlink /proc/self/ns/${kind}`);
        assert.equal(
          inside === node[kind],
          modes[kind] === NODE,
          `${kind} of ${JSON.stringify(modes)}`,
        );
      }
    }
  };
  await look();
  await bench.restart("kill");
  await look();
});

test("a container has no more of the node than its pod, and a POD namespace is the pod's", async (bench) => {
  const plain = await bench.sandbox({ pod: options({ pid: CONTAINER }) });
  const named = (name: string, wanted: object) => ({
    container: { metadata: { name }, ...wanted },
  });
  for (const kind of ["network", "pid", "ipc"] as const) {
    await refused(
      bench.created(plain, named("greedy", options({ pid: CONTAINER, [kind]: NODE }))),
      "FAILED_PRECONDITION",
      `namespace_options.${kind}`,
      plain.id,
    );
  }
  await refused(
    bench.created(plain, named("sharing", SHARED)),
    "FAILED_PRECONDITION",
    "namespace_options.pid",
    "shareProcessNamespace",
  );
  const host = await bench.sandbox({ pod: options({ network: NODE, pid: NODE, ipc: NODE }) });
  const asPod = await started(bench, host, "as-pod", SHARED);
  assert.equal(await pidNamespaceOf(asPod), Deno.readLinkSync("/proc/self/ns/pid"));
  const apart = await started(bench, host, "apart", options({ pid: CONTAINER }));
  assert.notEqual(await pidNamespaceOf(apart), Deno.readLinkSync("/proc/self/ns/pid"));
  // In the node's PID namespace, too, what a container leaves behind ends with it.
  const leaving = await started(
    bench,
    host,
    "leaving",
    {},
    `setsid sleep ${MARK}7401 & trap 'exit 0' TERM; wait; sleep 9999`,
  );
  await eventually("it has a child", () => runs(`${MARK}7401`) ? true : undefined);
  await bench.runtime.stopContainer({ containerId: leaving.id, timeout: 60n });
  assert.ok(!runs(`${MARK}7401`));
  await awaitNoResidueOf(bench, [plain.id, host.id]);
});

test("play runs pods that share their processes, or are in the node's namespaces", async (bench) => {
  const pod = (name: string, spec: string) =>
    `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
spec:
  restartPolicy: Never
  ${spec}
  containers:
    - name: main
      image: ${bench.image()}
      imagePullPolicy: Never
      command:
        - /bin/sh
        - -c
        - for n in net pid ipc; do readlink /proc/self/ns/$n; done; tr '\\0' ' ' </proc/1/cmdline
`;
  const node = ["net", "pid", "ipc"].map((kind) => Deno.readLinkSync(`/proc/self/ns/${kind}`));
  const played = async (name: string, spec: string) => {
    const { out, err, code } = await sauropod(
      bench.node,
      ["play", "--wait", "--rm", "-"],
      pod(name, spec),
    );
    assert.equal(code, 0, err);
    return out.trim().split("\n").map((line) => line.replace(/^main: /, ""));
  };
  const shared = await played("shared", "shareProcessNamespace: true");
  assert.match(shared[3] ?? "", /^\/catatonit -P/);
  assert.deepEqual(shared.slice(0, 3).filter((namespace) => node.includes(namespace)), []);
  const host = await played("host", "hostPID: true\n  hostIPC: true\n  hostNetwork: true");
  assert.deepEqual(host.slice(0, 3), node);
});

/** Takes the pods away and looks that nothing of them is left. */
async function awaitNoResidueOf(bench: Workbench, sandboxes: readonly string[]): Promise<void> {
  for (const podSandboxId of sandboxes) {
    await bench.runtime.stopPodSandbox({ podSandboxId });
    await bench.runtime.removePodSandbox({ podSandboxId });
  }
  await awaitNoResidue(bench.node);
}
