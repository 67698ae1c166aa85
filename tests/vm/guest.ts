/**
 * What is tested inside the virtual machine: the service on a node with systemd, cgroup v2 and AppArmor,
 * with both cgroup drivers. Runs as root in the machine, and prints a line for each test.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  CgroupDriver,
  ContainerConfig,
  ContainerState,
  type ContainerStatus,
  NamespaceMode,
  PodSandboxConfig,
  SecurityProfile_ProfileType as Profile,
} from "../../src/proto/mod.ts";
import { PrivateSystemd } from "../../src/sys/systemd.ts";
import { connectCri, type CriClient } from "../support/cri_client.ts";
import { converse, message } from "../support/stream_client.ts";

/** The image, and what of the names of tests is wanted: a regular expression, for work on one of them. */
const [IMAGE = "", WANTED = ""] = Deno.args;
const SOCKET = "/run/sauropod/sauropod.sock";
const CGROUPS = "/sys/fs/cgroup";
/** Far above what it takes in an emulated machine on a busy host. */
const PATIENCE_MS = 180_000;
const WAITING = 'trap "exit 0" TERM; echo hello; while :; do sleep 1000 & wait $!; done';

type Driver = "systemd" | "cgroupfs";

let client: CriClient = connectCri(SOCKET);
let passed = 0;
let failed = 0;
let serial = 0;

async function test(name: string, body: () => Promise<void>): Promise<void> {
  if (!new RegExp(WANTED).test(name)) return;
  const start = performance.now();
  try {
    await body();
    passed++;
    console.log(`ok ${name} (${Math.round(performance.now() - start)} ms)`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}\n  ${error instanceof Error ? error.stack : error}`);
    console.log(
      await output("journalctl", ["-u", "sauropod", "-n", "12", "-o", "cat", "--no-pager"]),
    );
    console.log(await output("systemctl", ["list-jobs", "--full", "--no-pager"]));
  } finally {
    await clear().catch((error) => console.log(`  clearing failed: ${error}`));
  }
}

async function clear(): Promise<void> {
  const { items } = await client.runtime.listPodSandbox({});
  for (const { id } of items) await client.runtime.removePodSandbox({ podSandboxId: id });
}

async function command(program: string, args: readonly string[]): Promise<Deno.CommandOutput> {
  return await new Deno.Command(program, { args: [...args], stdin: "null" }).output();
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await command(program, args);
  return (new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr)).trim();
}

async function must(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await command(program, args);
  const text = new TextDecoder().decode(stdout);
  assert.ok(success, `${program} ${args.join(" ")}: ${text}${new TextDecoder().decode(stderr)}`);
  return text.trim();
}

async function eventually<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert.ok(performance.now() < end, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The call fails, and says this. */
async function refused(call: Promise<unknown>, ...words: readonly RegExp[]): Promise<void> {
  const error = await call.then(() => undefined, (error: Error) => error);
  assert.ok(error !== undefined, "the call was answered, not refused");
  for (const word of words) assert.match(error.message, word);
}

interface PodOptions {
  readonly parent?: string;
  readonly script?: string;
  readonly handler?: string;
  readonly linux?: Record<string, unknown>;
  readonly annotations?: Record<string, string>;
}

interface Pod {
  readonly sandbox: string;
  readonly container: string;
  readonly pid: number;
}

function sandboxConfig(parent: string): PodSandboxConfig {
  const name = `pod${serial++}`;
  return PodSandboxConfig.fromPartial({
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    logDirectory: `/var/log/pods/${name}`,
    linux: {
      cgroupParent: parent,
      securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } },
    },
  });
}

async function run(
  { parent = "", script = WAITING, handler = "", linux = {}, annotations = {} }: PodOptions = {},
): Promise<Pod> {
  const config = sandboxConfig(parent);
  const { podSandboxId } = await client.runtime.runPodSandbox({ config, runtimeHandler: handler });
  const { containerId } = await client.runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: ContainerConfig.fromPartial({
      metadata: { name: "main", attempt: 0 },
      image: { image: IMAGE },
      command: ["/bin/sh", "-c", script],
      logPath: "main.log",
      linux,
      annotations,
    }),
  });
  await client.runtime.startContainer({ containerId });
  return { sandbox: podSandboxId, container: containerId, pid: await pidOf(containerId) };
}

async function pidOf(containerId: string): Promise<number> {
  const { info } = await client.runtime.containerStatus({ containerId, verbose: true });
  return (JSON.parse(info["info"] ?? "{}") as { pid?: number }).pid ?? 0;
}

async function statusOf(containerId: string): Promise<ContainerStatus> {
  const { status } = await client.runtime.containerStatus({ containerId });
  assert.ok(status !== undefined);
  return status;
}

function ended(containerId: string): Promise<ContainerStatus> {
  return eventually("the container ends", async () => {
    const status = await statusOf(containerId);
    return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
  });
}

async function sh(containerId: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await client.runtime.execSync({
    containerId,
    cmd: ["/bin/sh", "-c", script],
    timeout: 120n,
  });
  assert.equal(exitCode, 0, `${script}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout).trim();
}

/** As `/proc/<pid>/cgroup` says, in the node's own terms. */
function cgroupOf(pid: number): string {
  return /^0::(.*)$/m.exec(Deno.readTextFileSync(`/proc/${pid}/cgroup`))?.[1] ?? "";
}

function monitorOf(containerId: string): number {
  return Number(
    Deno.readTextFileSync(`/run/sauropod/containers/${containerId}/conmon-pidfile`),
  );
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Every scope and slice that could be ours, in whatever state. */
async function ourUnits(): Promise<string[]> {
  const list = await must("systemctl", "list-units", "--all", "--plain", "--no-legend");
  return list.split("\n").map((line) => line.trim().split(/\s+/)[0] ?? "")
    .filter((unit) => /^(crio-|kubepods|test)/.test(unit));
}

async function configure(driver: Driver | "default", extra = ""): Promise<void> {
  await Deno.mkdir("/etc/sauropod", { recursive: true });
  await Deno.writeTextFile(
    "/etc/sauropod/sauropod.toml",
    `[sauropod.runtime]
default_runtime = "runc"
${driver === "default" ? "" : `cgroup_manager = "${driver}"`}
${extra}
[sauropod.runtime.runtimes.runc]
[sauropod.runtime.runtimes.crun]
`,
  );
}

async function restart(): Promise<void> {
  await must("systemctl", "restart", "sauropod");
  client[Symbol.dispose]();
  client = connectCri(SOCKET);
}

async function install(): Promise<void> {
  await Deno.copyFile("/payload/sauropod", "/usr/bin/sauropod");
  await Deno.chmod("/usr/bin/sauropod", 0o755);
  await Deno.copyFile("/payload/sauropod.service", "/etc/systemd/system/sauropod.service");
  await Deno.mkdir("/etc/cni/net.d", { recursive: true });
  await Deno.copyFile("/payload/10-sauropod.conflist", "/etc/cni/net.d/10-sauropod.conflist");
  await Deno.mkdir("/etc/containers", { recursive: true });
  await Deno.writeTextFile(
    "/etc/containers/policy.json",
    JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }),
  );
  await must("systemctl", "daemon-reload");
}

await install();
await configure("default");

await test("the node has what it needs, and check tells which driver it gets", async () => {
  const { code, stdout } = await command("/usr/bin/sauropod", ["check"]);
  const text = new TextDecoder().decode(stdout);
  assert.equal(code, 0, text);
  assert.match(text, /cgroup driver +systemd, by default/);
  assert.match(text, /AppArmor enabled/);
});

await test("the unit counts as started when the server answers", async () => {
  await must("systemctl", "start", "sauropod");
  assert.equal(await must("systemctl", "is-active", "sauropod"), "active");
  // One that has tried before waits some time before it tries again.
  client[Symbol.dispose]();
  client = connectCri(SOCKET);
  const { runtimeName } = await client.runtime.version({});
  assert.notEqual(runtimeName, "");
  assert.match(await must("systemctl", "show", "-P", "StatusText", "sauropod"), /^Serving on/);
  await must("/usr/bin/sauropod", "load", "/payload/busybox.tar");
});

const PARENTS = {
  systemd: "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice",
  cgroupfs: "/kubepods/besteffort/pod1",
} as const;

await test("systemd: pods come and go in the same slice, one after the other", async () => {
  await configure("systemd");
  await restart();
  for (let round = 0; round < 8; round++) {
    const pod = await run({ parent: PARENTS.systemd, handler: round % 2 === 0 ? "runc" : "crun" });
    await client.runtime.stopContainer({ containerId: pod.container, timeout: 30n });
    await client.runtime.removePodSandbox({ podSandboxId: pod.sandbox });
    // One that had to be given up and left to a later try would still be there.
    assert.ok(!exists(`${CGROUPS}${PARENTS.systemd}`), `the slice of round ${round} is gone`);
  }
});

await test("systemd: its private socket answers every time", async () => {
  const systemd = new PrivateSystemd();
  for (let call = 0; call < 300; call++) {
    await systemd.stop("test-absent.slice", AbortSignal.timeout(PATIENCE_MS));
  }
});

for (const driver of ["systemd", "cgroupfs"] as const) {
  const other = driver === "systemd" ? "cgroupfs" : "systemd";
  const parent = PARENTS[driver];
  const suffix = driver === "systemd" ? ".scope" : "";
  const cgroup = (id: string, below = parent as string) => `${below}/crio-${id}${suffix}`;

  await test(`${driver}: RuntimeConfig tells the driver`, async () => {
    await configure(driver);
    await restart();
    const { linux } = await client.runtime.runtimeConfig({});
    assert.equal(
      linux?.cgroupDriver,
      driver === "systemd" ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS,
    );
  });

  await test(`${driver}: a parent in the form of the other driver is refused`, async () => {
    const config = sandboxConfig(PARENTS[other]);
    await refused(client.runtime.runPodSandbox({ config }), /cgroup_parent/, /cgroupDriver/);
    assert.deepEqual((await client.runtime.listPodSandbox({})).items, []);
  });

  for (const handler of ["runc", "crun"]) {
    await test(`${driver}, ${handler}: a pod's container, its monitor and its execs are where they belong`, async () => {
      const pod = await run({ parent, handler });
      assert.equal(cgroupOf(pod.pid), cgroup(pod.container));
      const monitor = cgroupOf(monitorOf(pod.container));
      assert.equal(
        monitor,
        driver === "systemd"
          ? `/system.slice/crio-conmon-${pod.container}.scope`
          : "/system.slice/sauropod.service",
      );
      assert.equal(await sh(pod.container, "echo inside"), "inside");
      assert.deepEqual(
        [...Deno.readDirSync(`${CGROUPS}${cgroup(pod.container)}`)].filter((e) => e.isDirectory),
        [],
        "no exec leaves a cgroup",
      );
      await client.runtime.stopContainer({ containerId: pod.container, timeout: 30n });
      const { exitCode, reason } = await statusOf(pod.container);
      assert.deepEqual([exitCode, reason], [0, "Completed"]);
      await clear();
      assert.ok(!exists(`${CGROUPS}${cgroup(pod.container)}`), "the container's cgroup is gone");
      assert.ok(!exists(`${CGROUPS}${parent}`), "the pod's cgroup, which we made, is gone");
      await eventually(
        "no unit is left",
        async () => (await ourUnits()).length === 0 ? true : undefined,
      );
    });

    if (driver === "systemd") {
      await test(`systemd, ${handler}: what the shutdown of the machine needs to know of a container is in its scope`, async () => {
        const annotations = { "io.kubernetes.pod.terminationGracePeriod": "77" };
        const { container } = await run({ parent, handler, annotations });
        const show = (name: string) =>
          must("systemctl", "show", "--value", `--property=${name}`, `crio-${container}.scope`);
        assert.equal(await show("TimeoutStopUSec"), "1min 17s");
        // crun 1.8 takes the time, and sets the dependencies as it likes.
        if (handler === "crun") return;
        assert.equal(await show("DefaultDependencies"), "yes");
        assert.match(await show("After"), /\bsauropod\.service\b/);
        assert.match(await show("Conflicts"), /\bshutdown\.target\b/);
      });
    }

    await test(`${driver}, ${handler}: an ExecSync that runs out of time leaves nothing behind`, async () => {
      const pod = await run({ parent, handler });
      await refused(
        client.runtime.execSync({
          containerId: pod.container,
          cmd: ["/bin/sh", "-c", "sleep 777 & setsid sleep 777 & sleep 777"],
          timeout: 5n,
        }),
        /ran longer/,
      );
      const left = (await output("pgrep", ["-f", "^sleep 777"])).trim();
      assert.equal(left, "", "no process of the exec is left");
      assert.equal(await sh(pod.container, "echo inside"), "inside");
    });

    await test(`${driver}, ${handler}: a limit of the pod that one of two containers breaks`, async () => {
      const config = sandboxConfig(parent);
      const { podSandboxId } = await client.runtime.runPodSandbox({
        config,
        runtimeHandler: handler,
      });
      // As the kubelet does, which makes the pod's cgroup itself.
      if (driver === "systemd") {
        const unit = parent.slice(parent.lastIndexOf("/") + 1);
        await must("systemctl", "set-property", "--runtime", unit, `MemoryMax=${48 << 20}`);
      } else {
        for (const above of ["", "/kubepods", "/kubepods/besteffort"]) {
          await Deno.writeTextFile(`${CGROUPS}${above}/cgroup.subtree_control`, "+memory");
        }
        await Deno.writeTextFile(`${CGROUPS}${parent}/memory.max`, String(48 << 20));
      }
      const start = async (name: string, script: string): Promise<string> => {
        const { containerId } = await client.runtime.createContainer({
          podSandboxId,
          sandboxConfig: config,
          config: ContainerConfig.fromPartial({
            metadata: { name, attempt: 0 },
            image: { image: IMAGE },
            command: ["/bin/sh", "-c", script],
            logPath: `${name}.log`,
          }),
        });
        await client.runtime.startContainer({ containerId });
        return containerId;
      };
      const modest = await start("modest", "while :; do sleep 1000 & wait $!; done");
      const greedy = await start("greedy", "x=$(yes | head -c 200000000); echo survived");
      const { exitCode, reason } = await ended(greedy);
      assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
      assert.equal((await statusOf(modest)).state, ContainerState.CONTAINER_RUNNING);
      // Killed by somebody, for another reason.
      await must("kill", "-KILL", String(await pidOf(modest)));
      const other = await ended(modest);
      assert.deepEqual([other.exitCode, other.reason], [137, "Error"]);
    });

    await test(`${driver}, ${handler}: out of memory is OOMKilled`, async () => {
      const linux = { resources: { memoryLimitInBytes: 24n << 20n } };
      const script = "x=$(yes | head -c 200000000); echo survived";
      const { container } = await run({ parent, handler, linux, script });
      const { exitCode, reason } = await ended(container);
      assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
    });

    await test(`${driver}, ${handler}: a child killed for want of memory is not its container's end`, async () => {
      const linux = { resources: { memoryLimitInBytes: 24n << 20n } };
      const script = `trap 'exit 3' TERM; ( x=$(yes | head -c 200000000) ); echo $? > /child
        while :; do sleep 1000 & wait $!; done`;
      const { container } = await run({ parent, handler, linux, script });
      const child = await eventually(
        "the child has ended",
        async () => await sh(container, "cat /child 2>/dev/null || true") || undefined,
      );
      assert.equal(child, "137");
      assert.equal((await statusOf(container)).state, ContainerState.CONTAINER_RUNNING);
      await client.runtime.stopContainer({ containerId: container, timeout: 30n });
      const { exitCode, reason } = await statusOf(container);
      assert.deepEqual([exitCode, reason], [3, "Error"]);
    });

    await test(`${driver}, ${handler}: swap, huge pages and files named by unified are as asked for`, async () => {
      const pod = await run({
        parent,
        handler,
        linux: {
          resources: {
            memoryLimitInBytes: 64n << 20n,
            memorySwapLimitInBytes: 96n << 20n,
            hugepageLimits: [{ pageSize: "2MB", limit: 4n << 20n }],
            unified: { "memory.high": String(48 << 20), "pids.max": "77" },
          },
        },
      });
      const folder = `${CGROUPS}${cgroup(pod.container)}`;
      const files = ["memory.max", "memory.swap.max", "hugetlb.2MB.max", "memory.high", "pids.max"];
      assert.deepEqual(
        files.map((name) => Deno.readTextFileSync(`${folder}/${name}`).trim()),
        [64 << 20, 32 << 20, 4 << 20, 48 << 20, 77].map(String),
      );
    });

    await test(`${driver}, ${handler}: Exec has the client's streams, and its tree dies with the client`, async () => {
      const pod = await run({ parent, handler });
      const containerId = pod.container;
      const wanted = { containerId, stdin: true, stdout: true };
      const { url } = await client.runtime.exec({
        ...wanted,
        cmd: ["/bin/sh", "-c", "cat; exit 4"],
      });
      const { channels } = await converse(url, "v5.channel.k8s.io", (socket) => {
        socket.send(message(0, "there and back"));
        socket.send(Uint8Array.of(255, 0));
      });
      assert.equal(channels.get(1), "there and back");
      assert.match(channels.get(3) ?? "", /"message":"4"/);

      const left = await client.runtime.exec({
        ...wanted,
        tty: true,
        cmd: ["/bin/sh", "-c", "setsid sleep 778 & echo up; sleep 778"],
      });
      await converse(left.url, "v5.channel.k8s.io", (socket) => {
        socket.addEventListener("message", ({ data }) => {
          if (new TextDecoder().decode(data as ArrayBuffer).includes("up")) socket.close();
        });
      });
      await eventually(
        "no process of the exec is left",
        async () => await output("pgrep", ["-f", "^sleep 778"]) === "" || undefined,
      );
      assert.equal(await sh(containerId, "echo inside"), "inside");
    });
  }

  await test(`${driver}: a pod without a parent goes into the default one`, async () => {
    const pod = await run();
    const below = driver === "systemd" ? "/system.slice" : "/sauropod";
    assert.equal(cgroupOf(pod.pid), cgroup(pod.container, below));
  });

  await test(`${driver}: a slice or cgroup that others made stays`, async () => {
    if (driver === "systemd") {
      const property = ["StartTransientUnit", "ssa(sv)a(sa(sv))"];
      const name = "testkept-pod.slice";
      const manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1"];
      const face = "org.freedesktop.systemd1.Manager";
      await must("busctl", "call", ...manager, face, ...property, name, "fail", "0", "0");
      const path = `${CGROUPS}/testkept.slice/${name}`;
      await eventually("the slice is there", () => Promise.resolve(exists(path) || undefined));
      await run({ parent: `/testkept.slice/${name}` });
      await clear();
      assert.ok(exists(path));
      await must("systemctl", "stop", name, "testkept.slice");
    } else {
      await Deno.mkdir(`${CGROUPS}/testkept`);
      await run({ parent: "/testkept" });
      await clear();
      assert.ok(exists(`${CGROUPS}/testkept`));
      await Deno.remove(`${CGROUPS}/testkept`);
    }
  });

  await test(`${driver}: limits are changed and read back`, async () => {
    const linux = {
      resources: { memoryLimitInBytes: 64n << 20n, cpuPeriod: 100000n, cpuQuota: 50000n },
    };
    const pod = await run({ parent, linux });
    const folder = `${CGROUPS}${cgroup(pod.container)}`;
    const limits = () =>
      ["memory.max", "cpu.max"].map((name) => Deno.readTextFileSync(`${folder}/${name}`).trim());
    assert.deepEqual(limits(), [String(64 << 20), "50000 100000"]);
    await client.runtime.updateContainerResources({
      containerId: pod.container,
      linux: { memoryLimitInBytes: 96n << 20n, cpuPeriod: 100000n, cpuQuota: 20000n },
    });
    assert.deepEqual(limits(), [String(96 << 20), "20000 100000"]);
    // systemd sets what it knows of its units anew.
    if (driver === "systemd") await must("systemctl", "daemon-reload");
    assert.deepEqual(limits(), [String(96 << 20), "20000 100000"]);
    const { resources } = await statusOf(pod.container);
    assert.equal(resources?.linux?.memoryLimitInBytes, 96n << 20n);
  });

  await test(`${driver}: restarting, stopping and killing the service leaves containers alone`, async () => {
    const pod = await run({ parent });
    const monitor = monitorOf(pod.container);
    await restart();
    assert.equal(await pidOf(pod.container), pod.pid);
    assert.equal(await sh(pod.container, "echo inside"), "inside");
    await must("systemctl", "stop", "sauropod");
    for (const pid of [pod.pid, monitor]) assert.ok(exists(`/proc/${pid}`), `${pid} lives`);
    await must("systemctl", "start", "sauropod");
    client[Symbol.dispose]();
    client = connectCri(SOCKET);
    await must("systemctl", "kill", "-s", "KILL", "--kill-who=main", "sauropod");
    await eventually(
      "systemd starts the server again",
      () => client.runtime.version({}, { timeoutMs: 5_000 }).then(() => true, () => undefined),
    );
    assert.equal(await pidOf(pod.container), pod.pid);
    assert.equal(await sh(pod.container, "echo inside"), "inside");
    await client.runtime.stopContainer({ containerId: pod.container, timeout: 30n });
    assert.equal((await statusOf(pod.container)).exitCode, 0);
  });

  await test(`${driver}: pods of it live on and go under the other driver`, async () => {
    const pod = await run({ parent });
    await configure(other);
    await restart();
    assert.equal(await sh(pod.container, "echo inside"), "inside");
    await client.runtime.stopContainer({ containerId: pod.container, timeout: 30n });
    await clear();
    assert.ok(!exists(`${CGROUPS}${cgroup(pod.container)}`));
    await configure(driver);
    await restart();
  });

  await test(`${driver}: a container does not inherit the service's protection from the OOM killer`, async () => {
    const pod = await run({ parent });
    assert.equal(Deno.readTextFileSync(`/proc/${pod.pid}/oom_score_adj`).trim(), "0");
  });
}

const confinement = (pid: number) =>
  Deno.readTextFileSync(`/proc/${pid}/attr/apparmor/current`).replace(/\0/g, "").trim();
const apparmor = (profileType: Profile, localhostRef = "") => ({
  linux: { securityContext: { apparmor: { profileType, localhostRef } } },
});

await test("AppArmor: the default profile is installed when a container needs it", async () => {
  assert.ok(
    !/^crio-default /m.test(Deno.readTextFileSync("/sys/kernel/security/apparmor/profiles")) ||
      passed > 0,
  );
  for (const linux of [{}, apparmor(Profile.RuntimeDefault).linux]) {
    const pod = await run({ linux });
    assert.equal(confinement(pod.pid), "crio-default (enforce)");
    assert.equal(
      await sh(pod.container, "cat /proc/self/attr/current | tr -d '\\0'"),
      "crio-default (enforce)",
    );
    // What the profile lets be: files of its own, signals to its own.
    assert.equal(await sh(pod.container, "sleep 99 & echo x >/f && kill $! && cat /f"), "x");
  }
});

await test("AppArmor: the default profile forbids mounts even to whom capabilities allow them", async () => {
  const securityContext = { capabilities: { addCapabilities: ["SYS_ADMIN"] } };
  const confined = await run({ linux: { securityContext } });
  const script = "mkdir -p /m; mount -t tmpfs none /m && echo mounted || echo forbidden";
  assert.equal(await sh(confined.container, `${script} 2>/dev/null`), "forbidden");
  const free = await run({
    linux: {
      securityContext: { ...securityContext, apparmor: { profileType: Profile.Unconfined } },
    },
  });
  assert.equal(confinement(free.pid), "unconfined");
  assert.equal(await sh(free.container, `${script} 2>/dev/null`), "mounted");
});

await test("AppArmor: a profile of the node is used, one that is not loaded is refused", async () => {
  const profile =
    `profile test-deny flags=(attach_disconnected) {\n file,\n capability,\n network,\n signal,\n unix,\n deny /secret r,\n}\n`;
  await Deno.writeTextFile("/tmp/test-deny", profile);
  await must("apparmor_parser", "-rK", "/tmp/test-deny");
  for (
    const linux of [
      apparmor(Profile.Localhost, "test-deny").linux,
      { securityContext: { apparmorProfile: "localhost/test-deny" } },
    ]
  ) {
    const pod = await run({ linux });
    assert.equal(confinement(pod.pid), "test-deny (enforce)");
    assert.equal(
      await sh(pod.container, "echo s >/secret; cat /secret 2>/dev/null || echo no"),
      "no",
    );
  }
  await refused(run(apparmor(Profile.Localhost, "absent")), /"?absent"? is not loaded/);
});

await test("AppArmor: a privileged container is unconfined", async () => {
  const config = sandboxConfig("");
  const privileged = PodSandboxConfig.fromPartial({
    ...config,
    linux: {
      ...config.linux,
      securityContext: { ...config.linux?.securityContext, privileged: true },
    },
  });
  const { podSandboxId } = await client.runtime.runPodSandbox({ config: privileged });
  const { containerId } = await client.runtime.createContainer({
    podSandboxId,
    sandboxConfig: privileged,
    config: ContainerConfig.fromPartial({
      metadata: { name: "main", attempt: 0 },
      image: { image: IMAGE },
      command: ["/bin/sh", "-c", WAITING],
      logPath: "main.log",
      linux: { securityContext: { privileged: true } },
    }),
  });
  await client.runtime.startContainer({ containerId });
  assert.equal(confinement(await pidOf(containerId)), "unconfined");
});

await test("a server that hangs is found by the watchdog, and its containers live on", async () => {
  await Deno.mkdir("/etc/systemd/system/sauropod.service.d", { recursive: true });
  await Deno.writeTextFile(
    "/etc/systemd/system/sauropod.service.d/watchdog.conf",
    "[Service]\nWatchdogSec=40\nWatchdogSignal=SIGKILL\n",
  );
  await must("systemctl", "daemon-reload");
  await restart();
  const pod = await run();
  const before = Number(await must("systemctl", "show", "-P", "MainPID", "sauropod"));
  await must("kill", "-STOP", String(before));
  await eventually("systemd starts another server", async () => {
    const pid = Number(await output("systemctl", ["show", "-P", "MainPID", "sauropod"]));
    return pid !== before && pid > 0 ? true : undefined;
  });
  await eventually(
    "it answers",
    () => client.runtime.version({}, { timeoutMs: 5_000 }).then(() => true, () => undefined),
  );
  assert.equal(await sh(pod.container, "echo inside"), "inside");
});

await must("systemctl", "stop", "sauropod");
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : 1);
