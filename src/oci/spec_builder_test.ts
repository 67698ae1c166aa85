/**
 * Golden files: one container a case, its whole specification in `testdata/<case>.json`. Refresh
 * with `deno test -A src/oci/spec_builder_test.ts -- --update` and review the difference like code.
 */
import assert from "node:assert/strict";
import {
  FailedPreconditionError,
  InvalidArgumentError,
  SauropodError,
  UnimplementedError,
} from "../errors/mod.ts";
import type { ImageConfig } from "../image/images.ts";
import { parseContainerId, parseImageId, parseSandboxId } from "../model/mod.ts";
import {
  ContainerConfig,
  type DeepPartial,
  NamespaceMode,
  PodSandboxConfig,
  SecurityProfile_ProfileType,
} from "../proto/mod.ts";
import { CAPABILITIES } from "../sys/mod.ts";
import { decodeSpec, encodeSpec, specInteger } from "./runtime_spec.ts";
import { builtinProfile, type SeccompProfile } from "./seccomp.ts";
import { buildSpec } from "./spec_builder.ts";
import { specWarnings } from "./spec_warnings.ts";
import type { NodeFacts, SpecDefaults, SpecInputs } from "./spec_inputs.ts";

const image: ImageConfig = {
  architecture: "amd64",
  os: "linux",
  user: "",
  env: ["PATH=/bin", "LANG=C"],
  entrypoint: ["/entry"],
  cmd: ["serve"],
  workingDir: "/srv",
  labels: { "org.systemd.property.ExecStart": "evil", "io.kubernetes.cri-o.Name": "evil" },
  volumes: ["/data"],
  exposedPorts: [],
  stopSignal: "",
  diffIds: [],
  created: "",
};

const node: NodeFacts = {
  cgroupVersion: 2,
  capabilities: CAPABILITIES.filter((name) => name !== "CAP_SYS_RESOURCE"),
  seccomp: true,
  appArmor: null,
  oomScoreAdjFloor: -200,
  serviceUnit: "sauropod.service",
  hugetlb: true,
  pidsController: true,
  swapAccounting: true,
  recursiveReadOnlyMounts: true,
  architecture: "amd64",
};

const defaults: SpecDefaults = {
  capabilities: ["CHOWN", "KILL", "SETUID", "NET_BIND_SERVICE"],
  addInheritableCapabilities: false,
  env: [],
  ulimits: [],
  pidsLimit: -1,
  readOnly: false,
  privilegedWithoutHostDevices: false,
  deviceOwnershipFromSecurityContext: false,
  minMemoryBytes: 12n << 20n,
  annotations: { allowed: [], defaults: {} },
};

/** A profile short enough to read in a golden file. */
const profile: SeccompProfile = {
  defaultAction: "SCMP_ACT_ERRNO",
  archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
  syscalls: [
    { names: ["read"], action: "SCMP_ACT_ALLOW", args: [], includes: none(), excludes: none() },
    {
      names: ["mount"],
      action: "SCMP_ACT_ALLOW",
      args: [],
      includes: { arches: [], caps: ["CAP_SYS_ADMIN"] },
      excludes: none(),
    },
  ],
};

function none() {
  return { arches: [], caps: [] };
}

type Changes =
  & Partial<Omit<SpecInputs, "container" | "sandbox" | "image" | "node" | "defaults">>
  & {
    readonly container?: DeepPartial<ContainerConfig>;
    readonly sandbox?: DeepPartial<PodSandboxConfig>;
    readonly image?: Partial<ImageConfig>;
    readonly node?: Partial<NodeFacts>;
    readonly defaults?: Partial<SpecDefaults>;
  };

function inputs(changes: Changes): SpecInputs {
  const pod = "/run/s/pods/p";
  const pinned = (kind: string) => ({ kind: "pinned", path: `/run/s/${kind}ns/p` }) as const;
  return {
    containerId: parseContainerId("c".repeat(64)),
    sandboxId: parseSandboxId("5".repeat(64)),
    user: { uid: 0, gid: 0, additionalGids: [0] },
    rootfs: "/var/lib/s/c/merged",
    hostname: "pod-host",
    files: {
      hostname: `${pod}/hostname`,
      hosts: `${pod}/hosts`,
      resolvConf: `${pod}/resolv.conf`,
      shm: `${pod}/shm`,
    },
    mounts: [],
    volumes: [],
    devices: [],
    nodeDevices: [],
    hostDevices: [],
    namespaces: {
      net: pinned("net"),
      ipc: pinned("ipc"),
      uts: pinned("uts"),
      pid: { kind: "container" },
    },
    cgroupPath: "/kubepods/pod1/sauropod-c",
    seccomp: { runtimeDefault: profile },
    record: {
      name: "k8s_ctr_pod_ns_uid_0",
      sandboxName: "k8s_pod_ns_uid_0",
      createdAtNs: 1_700_000_000_123_456_789n,
      logPath: "/var/log/pods/ctr/0.log",
      imageId: parseImageId("a".repeat(64)),
      imageName: "docker.io/library/app:1",
      repoDigests: [`docker.io/library/app@sha256:${"d".repeat(64)}`],
      ips: ["10.0.0.2"],
    },
    ...changes,
    container: ContainerConfig.fromPartial({
      metadata: { name: "ctr", attempt: 0 },
      image: { image: "app:1" },
      ...changes.container,
    }),
    sandbox: PodSandboxConfig.fromPartial(changes.sandbox ?? {}),
    image: { ...image, ...changes.image },
    node: { ...node, ...changes.node },
    defaults: { ...defaults, ...changes.defaults },
  };
}

const KUBELET = {
  maskedPaths: ["/proc/asound", "/proc/acpi", "/proc/kcore"],
  readonlyPaths: ["/proc/bus", "/proc/sys"],
};
const mount = (containerPath: string, more: Partial<SpecInputs["mounts"][number]> = {}) => ({
  containerPath,
  hostPath: `/host${containerPath}`,
  readonly: false,
  recursiveReadOnly: false,
  propagation: "private" as const,
  ...more,
});
const fuse = {
  path: "/dev/fuse",
  type: "c",
  major: 10,
  minor: 229,
  mode: 0o666,
  uid: 0,
  gid: 0,
} as const;

const kvm = { ...fuse, path: "/dev/kvm", minor: 232, gid: 36, mode: 0o660 };

const security = (context: Record<string, unknown>): Changes => ({
  container: { linux: { securityContext: context as never } },
});

const cases: Record<string, Changes> = {
  "plain": {
    container: { linux: { securityContext: KUBELET } },
    node: { thermalThrottlePaths: ["/sys/devices/system/cpu/cpu0/thermal_throttle"] },
  },
  "no_security_context": {},
  "privileged": {
    container: { linux: { securityContext: { ...KUBELET, privileged: true } } },
    hostDevices: [fuse],
    seccomp: {},
  },
  "privileged_without_host_devices": {
    container: { linux: { securityContext: { privileged: true } } },
    hostDevices: [fuse],
    defaults: { privilegedWithoutHostDevices: true },
  },
  "host_namespaces": {
    namespaces: {
      net: { kind: "host" },
      ipc: { kind: "host" },
      uts: { kind: "host" },
      pid: { kind: "host" },
    },
    hostname: "node-1",
    files: { shm: "/dev/shm" },
    container: { linux: { securityContext: KUBELET } },
  },
  "read_only_rootfs": {
    container: { linux: { securityContext: { ...KUBELET, readonlyRootfs: true } } },
  },
  "read_only_configuration": { defaults: { readOnly: true } },
  "terminal": { container: { tty: true, stdin: true, stdinOnce: true } },
  "resources_v2": {
    container: {
      linux: {
        resources: {
          cpuShares: 512n,
          cpuQuota: 50000n,
          cpuPeriod: 100000n,
          cpusetCpus: "0-1,3",
          cpusetMems: "0",
          memoryLimitInBytes: 256n << 20n,
          oomScoreAdj: -998n,
          hugepageLimits: [{ pageSize: "2MB", limit: 1n << 63n }],
          unified: { "memory.oom.group": "1" },
        },
        securityContext: KUBELET,
      },
    },
    defaults: {
      pidsLimit: 100,
      ulimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: specInteger((1n << 64n) - 1n) }],
    },
  },
  "resources_v1": {
    container: {
      linux: {
        resources: {
          memoryLimitInBytes: 64n << 20n,
          memorySwapLimitInBytes: 128n << 20n,
          cpuQuota: -1n,
          oomScoreAdj: 1000n,
          hugepageLimits: [{ pageSize: "1GB", limit: 0n }],
        },
      },
    },
    node: { cgroupVersion: 1, hugetlb: false, pidsController: false },
  },
  "resources_v1_full": {
    container: {
      linux: {
        resources: {
          cpuShares: 2n,
          cpuQuota: 200000n,
          cpuPeriod: 100000n,
          cpusetCpus: "0",
          cpusetMems: "0-1",
          memoryLimitInBytes: 64n << 20n,
          hugepageLimits: [{ pageSize: "2MB", limit: 4n << 20n }, { pageSize: "1GB", limit: 0n }],
        },
      },
    },
    node: { cgroupVersion: 1 },
    defaults: { pidsLimit: 1024 },
  },
  "resources_v2_swap": {
    container: {
      linux: {
        resources: { memoryLimitInBytes: 64n << 20n, memorySwapLimitInBytes: 96n << 20n },
      },
    },
  },
  "resources_without_swap_accounting": {
    container: { linux: { resources: { memoryLimitInBytes: 64n << 20n } } },
    node: { swapAccounting: false },
  },
  "capabilities": {
    container: {
      linux: {
        securityContext: {
          capabilities: {
            addCapabilities: ["net_admin", "CAP_SYS_TIME"],
            dropCapabilities: ["KILL"],
          },
        },
      },
    },
    defaults: { addInheritableCapabilities: true },
  },
  "capabilities_ambient": {
    user: { uid: 1000, gid: 1000, additionalGids: [1000] },
    container: {
      linux: {
        securityContext: {
          capabilities: {
            addCapabilities: ["CHOWN"],
            addAmbientCapabilities: ["NET_BIND_SERVICE", "NET_RAW"],
            dropCapabilities: ["ALL", "NET_RAW"],
          },
          noNewPrivs: true,
        },
      },
    },
  },
  "mounts_override": {
    mounts: [
      mount("/var/lib/deep/er/", { propagation: "bidirectional" }),
      mount("/etc/hosts", { readonly: true }),
      mount("/dev/shm"),
      mount("/var/lib", { propagation: "host-to-container" }),
      mount("/data/../ro", { readonly: true, recursiveReadOnly: true }),
    ],
  },
  "mount_options": {
    mounts: [
      mount("/data", { options: ["noexec", "nodev", "nosuid", "noexec"] }),
      mount("/ro", { readonly: true, recursiveReadOnly: true, options: ["noexec"] }),
    ],
  },
  "mounts_over_folders_of_ours": {
    files: {
      hostname: "/run/s/pods/p/hostname",
      hosts: "/run/s/pods/p/hosts",
      resolvConf: "/run/s/pods/p/resolv.conf",
      shm: "/run/s/pods/p/shm",
      passwd: "/run/s/c/passwd",
      group: "/run/s/c/group",
      localtime: "/run/s/c/localtime",
      containerenv: "/run/s/c/containerenv",
    },
    mounts: [mount("/run"), mount("/etc"), mount("/dev/log")],
  },
  "container_files": {
    files: {
      shm: "/run/s/pods/p/shm",
      localtime: "/run/s/c/localtime",
      containerenv: "/run/s/c/containerenv",
    },
  },
  "image_volumes": {
    volumes: [{ containerPath: "/data", hostPath: "/var/lib/s/c/volumes/0" }],
    mounts: [mount("/data/sub")],
  },
  "mount_over_sys": { mounts: [mount("/sys")] },
  "user": {
    user: { uid: 1000, gid: 2000, additionalGids: [2000, 3000] },
    files: { shm: "/run/s/pods/p/shm", passwd: "/run/s/c/passwd", group: "/run/s/c/group" },
    devices: [{
      containerPath: "/dev/fuse",
      permissions: "rw",
      node: fuse,
      shadowsHostDevice: false,
    }],
    defaults: { deviceOwnershipFromSecurityContext: true },
    container: {
      linux: {
        securityContext: {
          ...KUBELET,
          noNewPrivs: true,
          runAsUser: { value: 1000n },
          runAsGroup: { value: 2000n },
        },
      },
    },
  },
  "wishes_v2": {
    sandbox: {
      annotations: {
        "umask.crio.io": "0027",
        "io.kubernetes.cri-o.umask": "0",
        "io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw": "true",
        "unified-cgroup.crio.io/ctr": `memory.high=1000; io.weight=${btoa("default 42")}`,
        "unified-cgroup.crio.io/other": "memory.high=2",
        "unified-cgroup.crio.io": "memory.high=3",
      },
    },
    container: {
      linux: { resources: { unified: { "memory.high": "5", "memory.oom.group": "1" } } },
    },
    defaults: {
      annotations: {
        allowed: [
          "umask.crio.io",
          "io.kubernetes.cri-o.umask",
          "io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw",
          "unified-cgroup.crio.io",
        ],
        defaults: {},
      },
    },
  },
  "wishes_denied": {
    sandbox: {
      annotations: {
        "umask.crio.io": "0",
        "cgroup2-mount-hierarchy-rw.crio.io": "true",
        "unified-cgroup.crio.io/ctr": "memory.high=1000",
        "io.kubernetes.cri-o.umask": "0",
      },
    },
    defaults: {
      annotations: {
        allowed: ["io.kubernetes.cri-o.umask/ctr", "umask", "umask.crio.io.more", ""],
        defaults: { "io.kubernetes.cri-o.umask": "0077" },
      },
    },
  },
  "devices": {
    nodeDevices: [
      { containerPath: "/dev/kvm", permissions: "rwm", node: kvm, shadowsHostDevice: false },
      { containerPath: "/dev/given", permissions: "r", node: fuse, shadowsHostDevice: true },
    ],
    devices: [
      { containerPath: "/dev/given", permissions: "rw", node: fuse, shadowsHostDevice: false },
    ],
  },
  "devices_privileged": {
    ...security({ privileged: true }),
    hostDevices: [fuse],
    nodeDevices: [
      { containerPath: "/dev/fuse", permissions: "r", node: kvm, shadowsHostDevice: true },
      { containerPath: "/dev/other", permissions: "r", node: kvm, shadowsHostDevice: false },
    ],
  },
  "seccomp_default": {
    container: {
      linux: {
        securityContext: {
          seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
          apparmor: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
        },
      },
    },
    node: { appArmor: { defaultProfile: "sauropod-default" } },
  },
  "seccomp_localhost": {
    container: {
      linux: {
        securityContext: {
          seccomp: {
            profileType: SecurityProfile_ProfileType.Localhost,
            localhostRef: "/var/lib/kubelet/seccomp/x.json",
          },
          capabilities: { addCapabilities: ["SYS_ADMIN"] },
        },
      },
    },
    seccomp: { localhost: profile },
  },
  "seccomp_of_the_privileged": {
    ...security({
      privileged: true,
      seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
    }),
    seccomp: { runtimeDefault: profile, privileged: { path: "/etc/privileged.json", profile } },
  },
  "seccomp_unconfined": security({
    seccompProfilePath: "unconfined",
    apparmorProfile: "unconfined",
  }),
  "apparmor_localhost": {
    ...security({ apparmorProfile: "localhost/mine" }),
    node: { appArmor: { defaultProfile: null } },
  },
  "environment_and_command": {
    container: {
      command: ["/bin/app"],
      args: ["--flag", "a b"],
      workingDir: "/work/./x/..",
      envs: [
        { key: "LANG", value: new TextEncoder().encode("de_DE.UTF-8") },
        { key: "CERT", value: new TextEncoder().encode("line 1\nline 2") },
      ],
    },
    defaults: { env: ["LANG=en", "PROXY=http://p"] },
  },
  "systemd_scope": {
    cgroupPath: "kubepods-pod1.slice:crio:c",
    container: { annotations: { "io.kubernetes.pod.terminationGracePeriod": "30" } },
    // Neither pod nor image speaks to systemd.
    sandbox: { annotations: { "io.kubernetes.pod.terminationGracePeriod": "1" } },
  },
  "systemd": { image: { entrypoint: ["/usr/lib/systemd/systemd"], cmd: [] } },
  "annotations": {
    sandbox: {
      annotations: {
        "allowed": "pod",
        "allowed/ctr": "for this container",
        "allowed/other": "no",
        "allowed.more": "no",
        "org.systemd.property.ExecStart": "'/bin/evil'",
        "run.oci.keep_original_groups": "1",
        "io.kubernetes.cri-o.Name": "forged",
      },
    },
    container: { annotations: { "allowed": "container" }, labels: { app: "x" } },
    defaults: {
      annotations: {
        allowed: [
          "allowed",
          "org.systemd.property.",
          "org.systemd.property.ExecStart",
          "run.oci.keep_original_groups",
          "io.kubernetes.cri-o.Name",
        ],
        defaults: { "allowed": "of the node", "of-the-node": "unasked" },
      },
    },
  },
};

const update = Deno.args.includes("--update");

for (const [name, changes] of Object.entries(cases)) {
  Deno.test(`the specification of the case ${name} is as its golden file`, () => {
    const file = new URL(`./testdata/${name}.json`, import.meta.url);
    const encoded = encodeSpec(buildSpec(inputs(changes)));
    const text = `${JSON.stringify(decodeSpec(encoded), null, 2)}\n`;
    if (update) Deno.writeTextFileSync(file, text);
    assert.equal(text, Deno.readTextFileSync(file));
  });
}

Deno.test("there is no golden file without a case", () => {
  const files = [...Deno.readDirSync(new URL("./testdata", import.meta.url))]
    .filter(({ isFile }) => isFile).map(({ name }) => name);
  assert.deepEqual(files.sort(), Object.keys(cases).map((name) => `${name}.json`).sort());
});

type ErrorClass = abstract new (...args: never[]) => SauropodError;

const resources = (limits: Record<string, unknown>): Changes => ({
  container: { linux: { resources: limits as never } },
});

const refused: readonly (readonly [what: string, Changes, ErrorClass, field: RegExp])[] = [
  ["no command", { image: { entrypoint: [], cmd: [] } }, InvalidArgumentError, /command/],
  ["an argument with NUL", { container: { command: ["a", "b\0c"] } }, InvalidArgumentError, /args/],
  [
    "a relative working directory",
    { container: { workingDir: "x" } },
    InvalidArgumentError,
    /working_dir/,
  ],
  [
    "a working directory with a line feed",
    { container: { workingDir: "/a\nb" } },
    InvalidArgumentError,
    /working_dir/,
  ],
  [
    "an image's working directory with a line feed",
    { image: { workingDir: "/a\nroot::0:0::/:" } },
    InvalidArgumentError,
    /working_dir/,
  ],
  [
    "a working directory of descriptors",
    { image: { workingDir: "/proc/self/fd/7" } },
    InvalidArgumentError,
    /working_dir/,
  ],
  [
    "the same by dots",
    { container: { workingDir: "/x/../proc/./self//fd" } },
    InvalidArgumentError,
    /working_dir/,
  ],
  [
    "an environment name with =",
    { container: { envs: [{ key: "A=B", value: new Uint8Array() }] } },
    InvalidArgumentError,
    /envs/,
  ],
  [
    "an environment value with NUL",
    { container: { envs: [{ key: "A", value: new Uint8Array([0]) }] } },
    InvalidArgumentError,
    /envs/,
  ],
  [
    "an environment value that is not UTF-8",
    { container: { envs: [{ key: "A", value: new Uint8Array([255]) }] } },
    InvalidArgumentError,
    /envs/,
  ],
  [
    "a HOME with a line feed",
    {
      container: {
        envs: [{ key: "HOME", value: new TextEncoder().encode("/\nx::0:0::/:/bin/sh") }],
      },
    },
    InvalidArgumentError,
    /envs/,
  ],
  [
    "an image's HOME with a line feed",
    { image: { env: ["HOME=/\nx::0:0::/:/bin/sh"] } },
    InvalidArgumentError,
    /image.env/,
  ],
  [
    "an image's HOME with a carriage return",
    { image: { env: ["HOME=/\rx"] } },
    InvalidArgumentError,
    /image.env/,
  ],
  [
    "an image's variable with NUL",
    { image: { env: ["A=b\0c"] } },
    InvalidArgumentError,
    /image.env/,
  ],
  [
    "an unknown capability",
    security({ capabilities: { addCapabilities: ["FLY"] } }),
    InvalidArgumentError,
    /add_capabilities/,
  ],
  [
    "a capability we lack",
    security({ capabilities: { addCapabilities: ["SYS_RESOURCE"] } }),
    FailedPreconditionError,
    /add_capabilities/,
  ],
  [
    "an ambient capability we lack",
    security({ capabilities: { addAmbientCapabilities: ["SYS_RESOURCE"] } }),
    FailedPreconditionError,
    /ambient/,
  ],
  ["a mount on the root", { mounts: [mount("/x/..")] }, InvalidArgumentError, /container_path/],
  [
    "a mount with a relative path",
    { mounts: [mount("x")] },
    InvalidArgumentError,
    /container_path/,
  ],
  [
    "a recursively read-only mount that is writable",
    { mounts: [mount("/x", { recursiveReadOnly: true })] },
    InvalidArgumentError,
    /recursive/,
  ],
  [
    "one with propagation",
    {
      mounts: [
        mount("/x", { recursiveReadOnly: true, readonly: true, propagation: "bidirectional" }),
      ],
    },
    InvalidArgumentError,
    /recursive/,
  ],
  [
    "one that the node cannot do",
    {
      mounts: [mount("/x", { recursiveReadOnly: true, readonly: true })],
      node: { recursiveReadOnlyMounts: false },
    },
    FailedPreconditionError,
    /recursive/,
  ],
  [
    "an image as a volume",
    { container: { mounts: [{ image: { image: "x" } }] } },
    UnimplementedError,
    /mounts.image/,
  ],
  [
    "a part of an image as a volume",
    { container: { mounts: [{ imageSubPath: "x" }] } },
    UnimplementedError,
    /mounts.image_sub_path/,
  ],
  [
    "an ID-mapped mount",
    { container: { mounts: [{ uidMappings: [{ hostId: 1 }] }] } },
    UnimplementedError,
    /uidMappings/,
  ],
  [
    "a mount option that is not for a request to give",
    { mounts: [mount("/x", { options: ["noexec", "dev"] })] },
    InvalidArgumentError,
    /mount_options/,
  ],
  ["a CDI device", { container: { CDIDevices: [{ name: "v/c=d" }] } }, UnimplementedError, /CDI/],
  [
    "a user namespace",
    security({ namespaceOptions: { usernsOptions: { mode: NamespaceMode.POD } } }),
    UnimplementedError,
    /userns/,
  ],
  [
    "SELinux options",
    security({ selinuxOptions: { type: "spc_t" } }),
    UnimplementedError,
    /selinux/,
  ],
  [
    "an AppArmor profile without AppArmor",
    security({ apparmorProfile: "localhost/x" }),
    FailedPreconditionError,
    /apparmor/,
  ],
  [
    "an AppArmor profile of an unknown form",
    security({ apparmorProfile: "x" }),
    InvalidArgumentError,
    /apparmor/,
  ],
  [
    "AppArmor's default where none is loaded",
    {
      ...security({ apparmorProfile: "runtime/default" }),
      node: { appArmor: { defaultProfile: null } },
    },
    UnimplementedError,
    /apparmor/,
  ],
  [
    "a seccomp profile without seccomp",
    { ...security({ seccompProfilePath: "localhost//x.json" }), node: { seccomp: false } },
    FailedPreconditionError,
    /seccomp/,
  ],
  [
    "a relative seccomp profile",
    security({ seccompProfilePath: "localhost/x.json" }),
    InvalidArgumentError,
    /seccomp/,
  ],
  [
    "an unknown seccomp type",
    security({ seccomp: { profileType: 9 } }),
    InvalidArgumentError,
    /seccomp/,
  ],
  [
    "a relative masked path",
    security({ maskedPaths: ["proc/x"] }),
    InvalidArgumentError,
    /masked_paths/,
  ],
  [
    "a memory limit that is too small",
    resources({ memoryLimitInBytes: 4096n }),
    InvalidArgumentError,
    /memory_limit/,
  ],
  [
    "a negative memory limit",
    resources({ memoryLimitInBytes: -1n }),
    InvalidArgumentError,
    /memory_limit/,
  ],
  [
    "swap below memory",
    resources({ memoryLimitInBytes: 64n << 20n, memorySwapLimitInBytes: 1n << 20n }),
    InvalidArgumentError,
    /swap/,
  ],
  [
    "swap without memory",
    resources({ memorySwapLimitInBytes: 1n << 20n }),
    InvalidArgumentError,
    /swap/,
  ],
  ["negative CPU shares", resources({ cpuShares: -5n }), InvalidArgumentError, /cpu_shares/],
  [
    "a CPU list that is none",
    resources({ cpusetCpus: "0\n1" }),
    InvalidArgumentError,
    /cpuset_cpus/,
  ],
  [
    "a page size that is none",
    resources({ hugepageLimits: [{ pageSize: "../x" }] }),
    InvalidArgumentError,
    /page_size/,
  ],
  [
    "an oom_score_adj out of range",
    resources({ oomScoreAdj: 1001n }),
    InvalidArgumentError,
    /oom_score_adj/,
  ],
  [
    "a unified key that is a path",
    resources({ unified: { "../cgroup.procs": "1" } }),
    InvalidArgumentError,
    /unified/,
  ],
  [
    "unified on version 1",
    { ...resources({ unified: { "memory.high": "1" } }), node: { cgroupVersion: 1 } },
    FailedPreconditionError,
    /unified/,
  ],
  [
    "device permissions that are none",
    {
      devices: [{
        containerPath: "/dev/x",
        permissions: "rwx",
        node: fuse,
        shadowsHostDevice: false,
      }],
    },
    InvalidArgumentError,
    /permissions/,
  ],
  [
    "a device over another of the host",
    {
      ...security({ privileged: true }),
      devices: [{
        containerPath: "/dev/sda",
        permissions: "rw",
        node: fuse,
        shadowsHostDevice: true,
      }],
    },
    InvalidArgumentError,
    /container_path/,
  ],
];

for (const [what, changes, expected, field] of refused) {
  Deno.test(`a container with ${what} is refused by the field's name`, () => {
    assert.throws(() => buildSpec(inputs(changes)), (error: SauropodError) => {
      assert.ok(error instanceof expected, `${error.name}: ${error.message}`);
      assert.match(error.details.field ?? "", field);
      return true;
    });
  });
}

Deno.test("all capabilities are those of this process, not those of the kernel", () => {
  const all = buildSpec(inputs(security({ capabilities: { addCapabilities: ["ALL"] } })));
  assert.deepEqual(all.process.capabilities.bounding, [...node.capabilities]);
  const dropped = security({
    capabilities: { addCapabilities: ["ALL"], dropCapabilities: ["ALL"] },
  });
  assert.deepEqual(buildSpec(inputs(dropped)).process.capabilities.bounding, []);
  const one = security({ capabilities: { addCapabilities: ["CHOWN"], dropCapabilities: ["all"] } });
  assert.deepEqual(buildSpec(inputs(one)).process.capabilities.bounding, ["CAP_CHOWN"]);
});

Deno.test("a seccomp default on a kernel without seccomp is left out", () => {
  const spec = buildSpec(inputs({
    ...security({ seccompProfilePath: "runtime/default" }),
    node: { seccomp: false },
  }));
  assert.equal(spec.linux.seccomp, undefined);
});

Deno.test("the built-in profile is used where no distribution brings one", () => {
  const spec = buildSpec(inputs({
    ...security({ seccompProfilePath: "runtime/default" }),
    seccomp: {},
  }));
  assert.equal(spec.linux.seccomp?.defaultAction, builtinProfile().defaultAction);
  assert.ok(spec.linux.seccomp?.syscalls.some(({ names }) => names.includes("execve")));
});

Deno.test("integers beyond 2^53 keep their value from the request to the file and back", () => {
  const limit = (1n << 62n) + 1n;
  const text = encodeSpec(buildSpec(inputs(resources({ memoryLimitInBytes: limit }))));
  assert.ok(text.includes(`"limit":${limit}`));
  assert.equal(encodeSpec(decodeSpec(text)), text);
});

Deno.test("what the node cannot give and a container can do without is left out with a reason", () => {
  const changes: Changes = {
    container: {
      linux: {
        resources: {
          memoryLimitInBytes: 64n << 20n,
          memorySwapLimitInBytes: 65n << 20n,
          hugepageLimits: [{ pageSize: "2MB", limit: 0n }],
          oomScoreAdj: -999n,
        },
        securityContext: {
          seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
          capabilities: { addCapabilities: ["sys_admin"] },
          noNewPrivs: true,
        },
      },
    },
    defaults: { pidsLimit: 10 },
  };
  const poor = { hugetlb: false, swapAccounting: false, pidsController: false, seccomp: false };
  const named = (warnings: string[]) => warnings.map((text) => text.split(" ")[0]);
  assert.deepEqual(named(specWarnings(inputs({ ...changes, node: poor }))), [
    "hugepage_limits",
    "memory_swap_limit_in_bytes",
    "pids_limit",
    "seccomp",
    "oom_score_adj",
    "no_new_privs",
  ]);
  const { linux } = buildSpec(inputs({ ...changes, node: poor }));
  assert.deepEqual(linux.resources, {
    devices: [{ allow: false, access: "rwm" }],
    memory: { limit: 64 << 20 },
  });
  assert.deepEqual(named(specWarnings(inputs(changes))), ["oom_score_adj", "no_new_privs"]);
  assert.deepEqual(specWarnings(inputs({})), []);
});
