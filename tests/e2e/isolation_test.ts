/** What a container sees of its pod and of the node, looked at from inside. @module */
import assert from "node:assert/strict";
import { busyboxImage, busyboxLayer } from "../integration/test_images.ts";
import { MountPropagation, NamespaceMode } from "../../src/proto/mod.ts";
import { eventually, onWorkbench, refused } from "../support/workbench.ts";

const test = onWorkbench({
  images: {
    configured: () =>
      busyboxImage({
        layers: [busyboxLayer(), [
          {
            path: "etc/passwd",
            content: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/srv:/bin/sh\n",
          },
          { path: "etc/group", content: "root:x:0:\nweb:x:44:\nextra:x:555:web\n" },
          { path: "srv/", uid: 33, gid: 44 },
        ]],
        config: {
          Entrypoint: ["/bin/sh", "-c"],
          Cmd: ["echo from the image; pwd; id; env"],
          Env: ["PATH=/bin", "KEPT=image", "CHANGED=image"],
          User: "web",
          WorkingDir: "/srv",
        },
      }),
  },
});

/** The pod's own, except the PID namespace, of which each container has its own. */
const POD_NAMESPACES = {
  network: NamespaceMode.POD,
  pid: NamespaceMode.CONTAINER,
  ipc: NamespaceMode.POD,
} as const;

test("a container has the pod's host name, hosts, resolv.conf and /dev/shm", async (bench) => {
  const sandbox = await bench.sandbox({
    pod: {
      hostname: "web-0",
      dnsConfig: {
        servers: ["10.0.0.10", "fd00::1"],
        searches: ["a.b", "c"],
        options: ["ndots:5"],
      },
    },
  });
  const one = await bench.created(sandbox);
  const two = await bench.created(sandbox, { container: { metadata: { name: "two" } } });
  for (const { id } of [one, two]) await bench.runtime.startContainer({ containerId: id });
  assert.equal(await one.sh("hostname"), "web-0");
  assert.equal(
    await one.sh("cat /etc/resolv.conf"),
    "search a.b c\nnameserver 10.0.0.10\nnameserver fd00::1\noptions ndots:5",
  );
  const { status } = await bench.runtime.podSandboxStatus({ podSandboxId: sandbox.id });
  const hosts = await one.sh("cat /etc/hosts");
  assert.match(hosts, /^127\.0\.0\.1\s+localhost/m);
  assert.match(hosts, new RegExp(`^${status?.network?.ip}\\s+web-0`, "m"));
  assert.match(await one.sh("cat /etc/hostname"), /^web-0$/);
  await one.sh("echo shared > /dev/shm/x");
  assert.equal(await two.sh("cat /dev/shm/x"), "shared");
  assert.match(await one.sh("grep ' /dev/shm ' /proc/mounts"), /tmpfs.*nosuid,nodev,noexec/);
});

test("the containers of a pod share network, IPC and host name, and not their processes", async (bench) => {
  const sandbox = await bench.sandbox();
  const one = await bench.created(sandbox);
  const two = await bench.created(sandbox, { container: { metadata: { name: "two" } } });
  for (const { id } of [one, two]) await bench.runtime.startContainer({ containerId: id });
  const of = async (container: typeof one) =>
    Object.fromEntries(
      (await container.sh("for n in net ipc uts pid mnt; do echo $n=$(ls -l /proc/1/ns/$n); done"))
        .split("\n").map((line) => [line.split("=")[0], /\[(\d+)\]/.exec(line)?.[1]]),
    );
  const [a, b] = [await of(one), await of(two)];
  for (const kind of ["net", "ipc", "uts"]) assert.equal(a[kind], b[kind], kind);
  for (const kind of ["pid", "mnt"]) assert.notEqual(a[kind], b[kind], kind);
  for (const kind of ["net", "ipc", "uts", "pid", "mnt"]) {
    const own = /\[(\d+)\]/.exec(Deno.readLinkSync(`/proc/self/ns/${kind}`))?.[1];
    assert.notEqual(a[kind], own, `${kind} is not the node's`);
  }
  assert.match(await one.sh("ip -o link"), /lo:.*UP/);
  assert.match(await one.sh("ip -o addr show eth0"), /inet 10\./);
});

test("a pod on the host's network, IPC and processes sees the node's own", async (bench) => {
  const container = await bench.pod({
    pod: {
      linux: {
        securityContext: {
          namespaceOptions: {
            network: NamespaceMode.NODE,
            pid: NamespaceMode.NODE,
            ipc: NamespaceMode.NODE,
          },
        },
      },
    },
    container: {
      linux: { securityContext: { namespaceOptions: { network: 2, pid: 2, ipc: 2 } } },
    },
  });
  for (const kind of ["net", "ipc", "pid"]) {
    const own = Deno.readLinkSync(`/proc/self/ns/${kind}`);
    assert.ok((await container.sh(`ls -l /proc/self/ns/${kind}`)).includes(own), kind);
  }
  assert.equal(await container.sh("hostname"), Deno.hostname());
  const { status } = await bench.runtime.podSandboxStatus({ podSandboxId: container.sandboxId });
  assert.equal(status?.network?.ip, "");
  assert.equal(
    await container.sh("cat /etc/resolv.conf"),
    Deno.readTextFileSync("/etc/resolv.conf").replace(/\n$/, ""),
  );
});

test("a pod's sysctls are set in its namespaces, all others are refused by name", async (bench) => {
  const sysctls = {
    "net.ipv4.ip_unprivileged_port_start": "80",
    "net/ipv4/conf/lo/forwarding": "1",
    "kernel.shm_rmid_forced": "1",
    "kernel.msgmax": "65536",
    "fs.mqueue.msg_max": "20",
  };
  const before = Deno.readTextFileSync("/proc/sys/kernel/msgmax");
  const container = await bench.pod({ pod: { linux: { sysctls } } });
  assert.equal(
    await container.sh(
      "cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start net/ipv4/conf/lo/forwarding " +
        "kernel/shm_rmid_forced kernel/msgmax",
    ),
    "80\n1\n1\n65536",
  );
  assert.equal(Deno.readTextFileSync("/proc/sys/kernel/msgmax"), before, "not the node's");
  const refuse = async (sysctls: Record<string, string>, options: object = POD_NAMESPACES) => {
    const linux = { sysctls, securityContext: { namespaceOptions: options } };
    const config = bench.sandboxConfig({ pod: { linux } });
    const [name = ""] = Object.keys(sysctls);
    await refused(bench.runtime.runPodSandbox({ config }), "INVALID_ARGUMENT", "sysctls", name);
  };
  for (
    const name of ["kernel.core_pattern", "vm.swappiness", "fs.file-max", "kernel.domainname"]
  ) await refuse({ [name]: "1" });
  await refuse({ "net.core.somaxconn": "1" }, { ...POD_NAMESPACES, network: NamespaceMode.NODE });
  await refuse({ "kernel.shmmax": "1" }, { ...POD_NAMESPACES, ipc: NamespaceMode.NODE });
});

test("a container is below the cgroup that its pod names, with the limits that it asks for", async (bench) => {
  const sandbox = await bench.sandbox();
  const container = await bench.created(sandbox, {
    container: {
      linux: {
        resources: {
          memoryLimitInBytes: 64n << 20n,
          cpuShares: 512n,
          cpuQuota: 25_000n,
          cpuPeriod: 50_000n,
          cpusetCpus: "0",
          oomScoreAdj: 500n,
        },
      },
    },
  });
  await bench.runtime.startContainer({ containerId: container.id });
  const { pid } = await container.info();
  const groups = Deno.readTextFileSync(`/proc/${pid}/cgroup`);
  const parent = sandbox.config.linux?.cgroupParent ?? "";
  assert.ok(groups.includes(`${parent}/crio-${container.id}`), groups);
  const read = (v1: string, v2: string) => {
    const [controller = ""] = v1.split(".");
    const below = `${parent}/crio-${container.id}`;
    const version1 = `/sys/fs/cgroup/${
      controller === "cpuset" ? "cpuset" : controller
    }${below}/${v1}`;
    const path = existsSync("/sys/fs/cgroup/cgroup.controllers")
      ? `/sys/fs/cgroup${below}/${v2}`
      : version1;
    return Deno.readTextFileSync(path).trim();
  };
  assert.equal(read("memory.limit_in_bytes", "memory.max"), String(64 << 20));
  assert.match(read("cpu.cfs_quota_us", "cpu.max"), /^25000/);
  assert.equal(read("cpuset.cpus", "cpuset.cpus"), "0");
  assert.equal(await container.sh("cat /proc/1/oom_score_adj"), "500");
});

function existsSync(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

test("command, arguments, environment, user and folder are the image's where the request says nothing", async (bench) => {
  const said = async (container: object) => {
    const sandbox = await bench.sandbox();
    const made = await bench.created(sandbox, { image: "configured", container });
    await bench.runtime.startContainer({ containerId: made.id });
    await made.ended();
    return (await made.log()).map(({ text }) => text);
  };
  const image = await said({ command: [] });
  assert.deepEqual(image.slice(0, 3), [
    "from the image",
    "/srv",
    "uid=33(web) gid=44(web) groups=44(web),555(extra)",
  ]);
  for (const line of ["KEPT=image", "CHANGED=image", "HOME=/srv"]) {
    assert.ok(image.includes(line), line);
  }
  const asked = await said({
    command: [],
    args: ["echo from the request; pwd; id; env"],
    workingDir: "/made/by/us",
    envs: [{ key: "CHANGED", value: new TextEncoder().encode("request") }],
    linux: {
      securityContext: {
        runAsUser: { value: 1234n },
        runAsGroup: { value: 99n },
        supplementalGroups: [7n],
      },
    },
  });
  assert.deepEqual(asked.slice(0, 2), ["from the request", "/made/by/us"]);
  assert.match(asked[2] ?? "", /^uid=1234\b.* gid=99\b.* groups=.*\b7\b/);
  assert.ok(asked.includes("KEPT=image") && asked.includes("CHANGED=request"), asked.join());
  const replaced = await said({ command: ["/bin/echo", "alone"], args: [] });
  assert.deepEqual(replaced, ["alone"], "a command drops the image's arguments");
});

test("a user other than root can look around, run programs and read the pod's files", async (bench) => {
  const container = await bench.pod({
    container: { linux: { securityContext: { runAsUser: { value: 1000n } } } },
  });
  assert.equal(await container.sh("/bin/busybox stat -c %a /"), "755");
  for (const name of ["hosts", "hostname", "resolv.conf", "passwd", "group"]) {
    assert.equal(await container.sh(`/bin/busybox stat -c %a /etc/${name}`), "644", name);
  }
  await container.sh("/bin/busybox ls / && /bin/busybox cat /etc/hosts /etc/resolv.conf");
  assert.equal(await container.sh("umask"), "0022");
  assert.equal(await bench.output("umask"), "0022");
});

test("a container reports the user that it runs as", async (bench) => {
  const container = await bench.pod({ image: "configured" });
  const { user } = await container.status();
  assert.equal(user?.linux?.uid, 33n);
  assert.equal(user?.linux?.gid, 44n);
  assert.deepEqual([...user?.linux?.supplementalGroups ?? []].sort(), [44n, 555n]);
});

test("the root file system can be made read-only, /dev and the pod's files stay usable", async (bench) => {
  const container = await bench.pod({
    container: { linux: { securityContext: { readonlyRootfs: true } } },
  });
  const { exitCode, stderr } = await container.exec("echo x > /tmp/x");
  assert.equal(exitCode, 1);
  assert.match(stderr, /[Rr]ead-only/);
  await container.sh("echo x > /dev/null; echo x > /dev/shm/x");
});

test("a container has the default capabilities, more or fewer as asked, and all when privileged", async (bench) => {
  const effective = async (container: object, pod: object = {}) => {
    const made = await bench.pod({ container, pod });
    const mask = BigInt(`0x${await made.sh("sed -n 's/^CapEff:\\t//p' /proc/1/status")}`);
    return (bit: number) => (mask >> BigInt(bit) & 1n) === 1n;
  };
  const [CHOWN, NET_ADMIN, SYS_ADMIN] = [0, 12, 21];
  const usual = await effective({});
  assert.deepEqual([CHOWN, NET_ADMIN, SYS_ADMIN].map(usual), [true, false, false]);
  const capabilities = { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["CHOWN"] };
  const changed = await effective({ linux: { securityContext: { capabilities } } });
  assert.deepEqual([CHOWN, NET_ADMIN, SYS_ADMIN].map(changed), [false, true, false]);
  const privileged = { linux: { securityContext: { privileged: true } } };
  const all = await effective(privileged, privileged);
  assert.deepEqual([CHOWN, NET_ADMIN, SYS_ADMIN].map(all), [true, true, true]);
});

test("a privileged container needs a privileged sandbox, and then has the node's devices and no masks", async (bench) => {
  const securityContext = { privileged: true };
  const plain = await bench.sandbox();
  await refused(
    bench.created(plain, { container: { linux: { securityContext } } }),
    "FAILED_PRECONDITION",
    "config.linux.security_context.privileged",
  );
  const container = await bench.pod({
    pod: { linux: { securityContext } },
    container: { linux: { securityContext } },
  });
  // What is masked is covered by /dev/null.
  await container.sh("test -e /dev/kmsg && ! test -c /proc/keys");
  await container.sh("test -w /proc/sys/kernel/core_pattern");
  const usual = await bench.pod();
  await usual.sh("test ! -e /dev/kmsg && test -c /proc/keys");
  assert.notEqual((await usual.exec("echo x > /proc/sys/kernel/core_pattern")).exitCode, 0);
});

test("no new privileges and the seccomp filter are on as asked", async (bench) => {
  const container = await bench.pod({
    container: { linux: { securityContext: { noNewPrivs: true, seccomp: { profileType: 0 } } } },
  });
  const status = await container.sh("cat /proc/1/status");
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^Seccomp:\t2$/m);
  const without = await bench.pod({
    container: { linux: { securityContext: { seccomp: { profileType: 1 } } } },
  });
  assert.match(await without.sh("cat /proc/1/status"), /^Seccomp:\t0$/m);
});

test("mounts are read-only, made on the host when missing, and end where they should inside the image", async (bench) => {
  const host = `${bench.node.directory}/volumes`;
  await Deno.mkdir(`${host}/data`, { recursive: true });
  await Deno.writeTextFile(`${host}/data/file`, "content");
  const container = await bench.pod({
    container: {
      mounts: [
        { hostPath: `${host}/data`, containerPath: "/data", readonly: true },
        { hostPath: `${host}/made/new`, containerPath: "/made" },
        { hostPath: `${host}/data/file`, containerPath: "/etc/some/file" },
      ],
    },
  });
  assert.equal(await container.sh("cat /data/file /etc/some/file"), "contentcontent");
  assert.notEqual((await container.exec("touch /data/x")).exitCode, 0);
  await container.sh("echo y > /made/y");
  assert.equal(await Deno.readTextFile(`${host}/made/new/y`), "y\n");
  const { mounts } = await container.status();
  assert.deepEqual(mounts.map(({ containerPath }) => containerPath), [
    "/data",
    "/made",
    "/etc/some/file",
  ]);
});

test("a mount propagates as asked: not at all, from the host, or both ways", async (bench) => {
  const host = `${bench.node.directory}/shared`;
  await Deno.mkdir(host);
  await command("mount", "-t", "tmpfs", "none", host);
  try {
    await command("mount", "--make-shared", host);
    await Deno.mkdir(`${host}/sub`);
    const privileged = { linux: { securityContext: { privileged: true } } };
    const mounted = (containerPath: string, propagation: MountPropagation) => ({
      hostPath: host,
      containerPath,
      propagation,
    });
    const container = await bench.pod({
      pod: privileged,
      container: {
        ...privileged,
        mounts: [
          mounted("/private", MountPropagation.PROPAGATION_PRIVATE),
          mounted("/from", MountPropagation.PROPAGATION_HOST_TO_CONTAINER),
          mounted("/both", MountPropagation.PROPAGATION_BIDIRECTIONAL),
        ],
      },
    });
    await command("mount", "-t", "tmpfs", "none", `${host}/sub`);
    await Deno.writeTextFile(`${host}/sub/mark`, "");
    assert.equal(
      await container.sh("ls /private/sub /from/sub"),
      "/from/sub:\nmark\n\n/private/sub:",
    );
    await container.sh("mkdir /both/up && mount -t tmpfs none /both/up && touch /both/up/mark2");
    await eventually("the host sees the mount", () => existsSync(`${host}/up/mark2`) || undefined);
    await bench.clear();
  } finally {
    for (const path of ["up", "sub", ""]) await tryCommand("umount", "-l", `${host}/${path}`);
  }
});

async function command(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  assert.ok(success, `${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

async function tryCommand(program: string, ...args: string[]): Promise<void> {
  await new Deno.Command(program, { args, stderr: "null" }).output();
}
