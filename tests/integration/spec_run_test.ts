/** Specifications as built, run by the real runc: what the process inside sees of them. */
import assert from "node:assert/strict";
import type { ImageConfig } from "../../src/image/images.ts";
import { newContainerId, newSandboxId, parseImageId } from "../../src/model/mod.ts";
import {
  buildSpec,
  type DeviceNode,
  DISTRIBUTION_PROFILE_PATH,
  distributionProfile,
  encodeSpec,
  type ResolvedMount,
  resolveUser,
  type SeccompProfile,
  type SpecInputs,
  userRequest,
} from "../../src/oci/mod.ts";
import {
  ContainerConfig,
  type DeepPartial,
  PodSandboxConfig,
  SecurityProfile_ProfileType,
} from "../../src/proto/mod.ts";
import { capabilitiesOf, createLinuxKernel, WorkerNamespaces } from "../../src/sys/mod.ts";
import { makeBusyboxRootfs } from "./busybox_rootfs.ts";

const kernel = createLinuxKernel();
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const capabilitiesOfMask = (hex: string) => capabilitiesOf(BigInt(`0x${hex}`));
const ownCapabilities = capabilitiesOfMask(
  /^CapPrm:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1] ?? "0",
);

const image: ImageConfig = {
  architecture: "amd64",
  os: "linux",
  user: "",
  env: ["PATH=/bin"],
  entrypoint: [],
  cmd: [],
  workingDir: "",
  labels: {},
  volumes: [],
  exposedPorts: [],
  stopSignal: "",
  diffIds: [],
  created: "",
};

interface RunOptions {
  readonly container?: DeepPartial<ContainerConfig>;
  readonly mounts?: readonly ResolvedMount[];
  readonly hostDevices?: readonly DeviceNode[];
  readonly devices?: SpecInputs["devices"];
  readonly runtimeDefault?: SeccompProfile;
  readonly defaults?: Partial<SpecInputs["defaults"]>;
  readonly files?: Partial<SpecInputs["files"]>;
}

class Place implements AsyncDisposable {
  readonly #namespaces = new WorkerNamespaces();
  readonly #undo: (() => Promise<void>)[] = [];

  private constructor(readonly root: string) {}

  static async make(): Promise<Place> {
    const place = new Place(await Deno.makeTempDir({ prefix: "sauropod-spec-" }));
    await makeBusyboxRootfs(`${place.root}/rootfs`);
    await place.#namespaces.create({ pins: place.#pins(), hostname: "pod-7", sysctls: {} });
    for (const name of ["hostname", "hosts", "resolv.conf"]) {
      await Deno.writeTextFile(`${place.root}/${name}`, `${name} of the pod\n`);
    }
    await Deno.mkdir(`${place.root}/shm`);
    return place;
  }

  #pins() {
    return { net: `${this.root}/net`, ipc: `${this.root}/ipc`, uts: `${this.root}/uts` };
  }

  undo(act: () => Promise<void>): void {
    this.#undo.push(act);
  }

  /** Runs a shell script in a container and returns what it printed, standard error included. */
  async run(script: string, options: RunOptions = {}): Promise<string> {
    const id = newContainerId();
    const container = ContainerConfig.fromPartial({
      metadata: { name: "ctr" },
      command: ["/bin/sh", "-c", `exec 2>&1\n${script}`],
      ...options.container,
    });
    const read = (name: string) => Deno.readFileSync(`${this.root}/rootfs/etc/${name}`);
    const pinned = (path: string) => ({ kind: "pinned", path }) as const;
    const pins = this.#pins();
    const spec = buildSpec({
      containerId: id,
      sandboxId: newSandboxId(),
      container,
      sandbox: PodSandboxConfig.fromPartial({}),
      image,
      user: resolveUser(
        userRequest(container.linux?.securityContext),
        image.user,
        read("passwd"),
        read("group"),
      ),
      rootfs: `${this.root}/rootfs`,
      hostname: "pod-7",
      files: {
        hostname: `${this.root}/hostname`,
        hosts: `${this.root}/hosts`,
        resolvConf: `${this.root}/resolv.conf`,
        shm: `${this.root}/shm`,
        ...options.files,
      },
      mounts: options.mounts ?? [],
      volumes: [],
      devices: options.devices ?? [],
      nodeDevices: [],
      hostDevices: options.hostDevices ?? [],
      namespaces: {
        net: pinned(pins.net),
        ipc: pinned(pins.ipc),
        uts: pinned(pins.uts),
        pid: { kind: "container" },
      },
      cgroupPath: `/sauropod-test-${id}`,
      node: {
        cgroupVersion: 1,
        capabilities: ownCapabilities,
        seccomp: true,
        appArmor: null,
        serviceUnit: "sauropod.service",
        oomScoreAdjFloor: Number(Deno.readTextFileSync("/proc/self/oom_score_adj")),
        hugetlb: false,
        pidsController: true,
        swapAccounting: false,
        recursiveReadOnlyMounts: false,
        architecture: "amd64",
      },
      defaults: {
        capabilities: ["CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID"],
        addInheritableCapabilities: false,
        env: [],
        ulimits: [],
        pidsLimit: -1,
        readOnly: false,
        privilegedWithoutHostDevices: false,
        deviceOwnershipFromSecurityContext: false,
        minMemoryBytes: 1n << 20n,
        annotations: { allowed: [], defaults: {} },
        ...options.defaults,
      },
      seccomp: options.runtimeDefault === undefined
        ? {}
        : { runtimeDefault: options.runtimeDefault },
      record: {
        name: "n",
        sandboxName: "s",
        createdAtNs: 0n,
        logPath: "/x",
        imageId: parseImageId("a".repeat(64)),
        imageName: "",
        repoDigests: [],
        ips: [],
      },
    });
    const bundle = `${this.root}/${id}`;
    await Deno.mkdir(bundle);
    await Deno.writeTextFile(`${bundle}/config.json`, encodeSpec(spec));
    const runc = [`--root=${this.root}/runc`];
    this.undo(async () => {
      await new Deno.Command("runc", { args: [...runc, "delete", "--force", id] }).output();
    });
    const { stdout, stderr, success } = await new Deno.Command("runc", {
      args: [...runc, "run", "--bundle", bundle, id],
      stdin: "null",
    }).output();
    assert.ok(success, `${text(stderr)}${text(stdout)}`);
    return text(stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const act of this.#undo.toReversed()) await act();
    for (const pin of Object.values(this.#pins())) await this.#namespaces.release(pin);
    this.#namespaces[Symbol.dispose]();
    await Deno.remove(this.root, { recursive: true });
  }
}

const SECCOMP_DEFAULT = { profileType: SecurityProfile_ProfileType.RuntimeDefault };

Deno.test("a plain container has its pod's names and files, and sees little of the kernel", async () => {
  await using place = await Place.make();
  const seen = await place.run(
    `hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; pwd; env | sort
    cat /proc/self/status | grep -E '^(Cap(Eff|Bnd|Inh|Amb)|NoNewPrivs|Groups)'
    echo x > /proc/sys/kernel/core_pattern; echo x > /sys/kernel/x; head -c1 /proc/kcore | wc -c
    ls /proc/scsi /sys/firmware; touch /rootfs-is-writable && echo writable`,
    { container: { workingDir: "/made", linux: { securityContext: undefined } } },
  );
  assert.match(
    seen,
    /^pod-7\nhostname of the pod\nhosts of the pod\nresolv.conf of the pod\n\/made\n/,
  );
  assert.match(seen, /HOSTNAME=pod-7\nPATH=\/bin\n/);
  // CHOWN 0, DAC_OVERRIDE 1, KILL 5, SETGID 6, SETUID 7
  assert.match(seen, /CapEff:\t00000000000000e3\nCapBnd:\t00000000000000e3\nCapAmb:\t0+\n/);
  assert.match(seen, /CapInh:\t0+\n/);
  assert.match(seen, /core_pattern: Read-only file system/);
  assert.match(seen, /\n0\n/, "kcore is hidden");
  assert.match(seen, /writable/);
});

for (
  const [which, profile] of [
    ["built-in", undefined],
    [
      "distribution's",
      distributionProfile(Deno.readTextFileSync(DISTRIBUTION_PROFILE_PATH), "distribution"),
    ],
  ] as const
) {
  Deno.test(`the ${which} seccomp profile is loaded and lets no namespace be made`, async () => {
    await using place = await Place.make();
    const seen = await place.run(
      `grep -E '^Seccomp:' /proc/self/status
      unshare -U true || echo refused; ls / > /dev/null && (sleep 0 & wait) && echo works`,
      {
        container: { linux: { securityContext: { seccomp: SECCOMP_DEFAULT, noNewPrivs: true } } },
        ...(profile === undefined ? {} : { runtimeDefault: profile }),
      },
    );
    assert.match(seen, /Seccomp:\t2/);
    assert.match(seen, /refused/);
    assert.match(seen, /works/);
  });
}

Deno.test("a privileged container has this process's capabilities, the host's devices and a writable /sys", async () => {
  await using place = await Place.make();
  const seen = await place.run(
    `grep CapEff /proc/self/status; ls -l /dev/fuse; grep -E ' /sys (sysfs )?' /proc/mounts
    head -c1 /proc/sysrq-trigger; test -w /proc/sys/kernel/core_pattern && echo unmasked`,
    {
      container: { linux: { securityContext: { privileged: true, maskedPaths: ["/proc/sys"] } } },
      hostDevices: [
        { path: "/dev/fuse", type: "c", major: 10, minor: 229, mode: 0o666, uid: 0, gid: 0 },
      ],
    },
  );
  const mask = /CapEff:\t([0-9a-f]+)/.exec(seen)?.[1] ?? "";
  assert.deepEqual(capabilitiesOfMask(mask), ownCapabilities);
  assert.match(seen, /10, 229 .*\/dev\/fuse/);
  assert.match(seen, /sysfs \/sys sysfs rw/);
  assert.match(seen, /unmasked/);
});

Deno.test("user, groups, devices and their rules are as resolved", async () => {
  await using place = await Place.make();
  const node = {
    path: "/dev/full",
    type: "c",
    major: 1,
    minor: 7,
    mode: 0o666,
    uid: 0,
    gid: 0,
  } as const;
  const seen = await place.run(
    `id -u; id -G; ls -ln /dev/given; echo x > /dev/given; head -c1 /dev/given | wc -c`,
    {
      container: {
        linux: {
          securityContext: {
            runAsUser: { value: 1000n },
            runAsGroup: { value: 2000n },
            supplementalGroups: [3000n],
          },
        },
      },
      devices: [{ containerPath: "/dev/given", permissions: "r", node, shadowsHostDevice: false }],
      defaults: { deviceOwnershipFromSecurityContext: true },
    },
  );
  assert.match(seen, /^1000\n2000 3000\n/);
  assert.match(seen, /1000 +2000 +1, +7 .*\/dev\/given/);
});

Deno.test("a device that was not given cannot be opened, even with a node made inside", async () => {
  await using place = await Place.make();
  // 1:11 is the kernel's log.
  const script = "mknod /k c 1 11 && echo made; head -c1 /k; echo x > /k; true";
  const linux = { securityContext: { capabilities: { addCapabilities: ["MKNOD"] } } };
  const seen = await place.run(script, { container: { linux } });
  assert.match(seen, /^made\nhead: \/k: Operation not permitted\n.*Operation not permitted\n$/);
});

Deno.test("limits reach the cgroup, and limits of the process the process", async () => {
  await using place = await Place.make();
  const seen = await place.run(
    `cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.shares \
      /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max
    cat /proc/self/oom_score_adj; ulimit -n; ulimit -c`,
    {
      container: {
        linux: {
          resources: {
            memoryLimitInBytes: 64n << 20n,
            cpuShares: 512n,
            cpuQuota: 20000n,
            cpuPeriod: 100000n,
            oomScoreAdj: 900n,
          },
        },
      },
      defaults: {
        pidsLimit: 50,
        ulimits: [
          { type: "RLIMIT_NOFILE", soft: 512, hard: 512 },
          { type: "RLIMIT_CORE", soft: 0, hard: 0 },
        ],
      },
    },
  );
  assert.equal(seen, `${64 << 20}\n512\n20000\n50\n900\n512\n0\n`);
});

Deno.test("an oom_score_adj lower than we may set is raised to what we may", async () => {
  await using place = await Place.make();
  const seen = await place.run("cat /proc/self/oom_score_adj", {
    container: { linux: { resources: { oomScoreAdj: -1000n } } },
  });
  assert.equal(seen.trim(), Deno.readTextFileSync("/proc/self/oom_score_adj").trim());
});

Deno.test("mounts are where they belong, whatever their order, and read-only where asked", async () => {
  await using place = await Place.make();
  for (const name of ["outer", "outer/inner", "inner"]) await Deno.mkdir(`${place.root}/${name}`);
  await Deno.writeTextFile(`${place.root}/inner/file`, "inner\n");
  await Deno.writeTextFile(`${place.root}/myhosts`, "mine\n");
  const mount = (containerPath: string, name: string, readonly = false): ResolvedMount => ({
    containerPath,
    hostPath: `${place.root}/${name}`,
    readonly,
    recursiveReadOnly: false,
    propagation: "private",
  });
  const seen = await place.run(
    `cat /v/inner/file /etc/hosts; echo x > /v/inner/y; echo x > /v/z && echo outer is writable
    echo x > /etc/resolv.conf; touch /r; echo x > /tmp/y && echo tmp is writable`,
    {
      mounts: [
        mount("/v/inner", "inner", true),
        mount("/etc/hosts", "myhosts"),
        mount("/v", "outer"),
      ],
      defaults: { readOnly: true },
    },
  );
  assert.match(seen, /^inner\nmine\n.*inner\/y: Read-only file system\nouter is writable\n/);
  assert.match(seen, /resolv\.conf: Read-only file system\n.*\/r: Read-only/);
  assert.match(seen, /tmp is writable/);
});

Deno.test("a bidirectional mount shows the container's mounts to the host, a private one does not", async () => {
  await using place = await Place.make();
  const shared = `${place.root}/shared`;
  await Deno.mkdir(`${shared}/sub`, { recursive: true });
  const MS_BIND = 0x1000n;
  const MS_SHARED = 1n << 20n;
  kernel.mount(shared, shared, null, MS_BIND, null);
  place.undo(() => Promise.resolve(kernel.umount2(shared, 2)));
  kernel.mount("none", shared, null, MS_SHARED, null);
  const mounted = () => Deno.readTextFileSync("/proc/self/mounts").includes(` ${shared}/sub tmpfs`);
  for (const propagation of ["private", "bidirectional"] as const) {
    await place.run("mount -t tmpfs none /v/sub", {
      container: { linux: { securityContext: { privileged: true } } },
      mounts: [{
        containerPath: "/v",
        hostPath: shared,
        readonly: false,
        recursiveReadOnly: false,
        propagation,
      }],
    });
    assert.equal(mounted(), propagation === "bidirectional");
  }
  kernel.umount2(`${shared}/sub`, 2);
});
