import assert from "node:assert/strict";
import { errorKind, SauropodError } from "../errors/mod.ts";
import { refuseUnsupportedContainer, refuseUnsupportedSandbox } from "../oci/mod.ts";
import {
  ContainerConfig,
  CreateContainerRequest,
  type DeepPartial,
  PodSandboxConfig,
  RunPodSandboxRequest,
} from "../proto/mod.ts";
import { RECEIVE_LIMIT_BYTES } from "./limits.ts";
import { validateArguments, validateCreateContainer } from "./validate_container.ts";
import { validateId, validateTimeoutMs } from "./validate_references.ts";
import { validateRunPodSandbox } from "./validate_sandbox.ts";

/** A pod as the kubelet asks for it, with everything that must pass. */
const POD: DeepPartial<PodSandboxConfig> = {
  metadata: { name: "web-0", namespace: "default", uid: "0f8fad5b-d9cb-469f-a165-70867728950e" },
  hostname: "web-0",
  logDirectory: "/var/log/pods/default_web-0_0f8f",
  dnsConfig: {
    servers: ["10.96.0.10", "fd00::a"],
    searches: ["default.svc.cluster.local", "."],
    options: ["ndots:5"],
  },
  portMappings: [{ protocol: 0, containerPort: 80, hostPort: 8080, hostIp: "" }, {
    containerPort: 53,
    protocol: 1,
  }],
  labels: { "app.kubernetes.io/name": "web", empty: "" },
  annotations: { note: "two\nlines" },
  linux: {
    cgroupParent: "/kubepods/burstable/pod0f8f",
    sysctls: {
      "net.ipv4.ip_local_port_range": "1024\t65535",
      "net.ipv4.conf.eth0/1.rp_filter": "1",
    },
    resources: { cpuPeriod: 100_000n, cpuShares: 102n, memoryLimitInBytes: 1n << 30n },
    securityContext: {
      namespaceOptions: { network: 0, pid: 1, ipc: 0, usernsOptions: { mode: 2 } },
      seccomp: { profileType: 0 },
      supplementalGroups: [1000n],
    },
  },
};

const CONTAINER: DeepPartial<ContainerConfig> = {
  metadata: { name: "server", attempt: 3 },
  image: { image: "sha256:0123" },
  command: ["/bin/sh", "-c"],
  args: ["echo 'a\nb'"],
  workingDir: "/srv",
  envs: [{ key: "PATH", value: new TextEncoder().encode("/bin") }, { key: "EMPTY" }],
  mounts: [{ containerPath: "/etc/hosts", hostPath: "/var/lib/kubelet/pods/x/etc-hosts" }],
  logPath: "server/3.log",
  labels: { a: "b" },
  linux: {
    resources: {
      cpuPeriod: 100_000n,
      cpuQuota: -1n,
      cpuShares: 2n,
      oomScoreAdj: 999n,
      cpusetCpus: "0-3,7",
      memoryLimitInBytes: 1n << 20n,
      memorySwapLimitInBytes: 1n << 20n,
      hugepageLimits: [{ pageSize: "2MB", limit: 0n }, { pageSize: "1GB", limit: 0n }],
    },
    securityContext: {
      capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"] },
      runAsUser: { value: 0n },
      runAsGroup: { value: 4_294_967_294n },
      maskedPaths: ["/proc/acpi"],
      readonlyPaths: ["/proc/bus"],
      namespaceOptions: { pid: 1 },
    },
  },
};

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SauropodError)) throw error;
    return `${errorKind(error)} ${error.details.field}`;
  }
  return "accepted";
}

function sandbox(change: (config: PodSandboxConfig) => void): string {
  const config = PodSandboxConfig.fromPartial(structuredClone(POD));
  change(config);
  const request = RunPodSandboxRequest.fromPartial({ config });
  return refusal(() => refuseUnsupportedSandbox("config", validateRunPodSandbox(request)));
}

function container(change: (config: ContainerConfig) => void): string {
  const config = ContainerConfig.fromPartial(structuredClone(CONTAINER));
  change(config);
  const request = CreateContainerRequest.fromPartial({ podSandboxId: "0123abc", config });
  return refusal(() => refuseUnsupportedContainer("config", validateCreateContainer(request)));
}

Deno.test("What the kubelet asks for is accepted", () => {
  assert.equal(sandbox(() => {}), "accepted");
  assert.equal(container(() => {}), "accepted");
});

Deno.test("A sandbox with bare metadata is accepted", () => {
  assert.equal(
    refusal(() =>
      validateRunPodSandbox(
        RunPodSandboxRequest.fromPartial({
          config: { metadata: { name: "a", namespace: "b", uid: "c" } },
        }),
      )
    ),
    "accepted",
  );
});

const LONG = "x".repeat(RECEIVE_LIMIT_BYTES / 16);

type SandboxCase = readonly [expected: string, change: (c: PodSandboxConfig) => void];
const SANDBOX_CASES: readonly SandboxCase[] = [
  ["invalid_argument config.metadata", (c) => c.metadata = undefined],
  ["invalid_argument config.metadata.name", (c) => c.metadata!.name = ""],
  ["invalid_argument config.metadata.name", (c) => c.metadata!.name = "a/b"],
  ["invalid_argument config.metadata.name", (c) => c.metadata!.name = ".."],
  ["invalid_argument config.metadata.name", (c) => c.metadata!.name = "a..b"],
  ["invalid_argument config.metadata.name", (c) => c.metadata!.name = "a\0"],
  ["invalid_argument config.metadata.name", (c) => c.metadata!.name = "a\nb"],
  ["invalid_argument config.metadata.name", (c) => c.metadata!.name = "a\x1b[31m"],
  ["resource_exhausted config.metadata.name", (c) => c.metadata!.name = "a".repeat(254)],
  ["invalid_argument config.metadata.namespace", (c) => c.metadata!.namespace = ""],
  ["invalid_argument config.metadata.uid", (c) => c.metadata!.uid = "../x"],
  ["invalid_argument config.hostname", (c) => c.hostname = "a b"],
  ["invalid_argument config.hostname", (c) => c.hostname = "a\n127.0.0.1 x"],
  ["resource_exhausted config.hostname", (c) => c.hostname = "a".repeat(65)],
  ["invalid_argument config.log_directory", (c) => c.logDirectory = "var/log"],
  ["invalid_argument config.log_directory", (c) => c.logDirectory = "/var/../etc"],
  ["resource_exhausted config.log_directory", (c) => c.logDirectory = `/${LONG}`],
  ["invalid_argument config.dns_config.servers[1]", (c) => c.dnsConfig!.servers[1] = "dns.local"],
  ["invalid_argument config.dns_config.searches[0]", (c) => c.dnsConfig!.searches[0] = "a\nb"],
  ["invalid_argument config.dns_config.options[0]", (c) => c.dnsConfig!.options[0] = "a b"],
  [
    "resource_exhausted config.dns_config.searches",
    (c) => c.dnsConfig!.searches = Array(65).fill("a"),
  ],
  [
    "invalid_argument config.port_mappings[0].protocol",
    (c) => c.portMappings[0]!.protocol = 7 as never,
  ],
  [
    "invalid_argument config.port_mappings[0].host_port",
    (c) => c.portMappings[0]!.hostPort = 65_536,
  ],
  [
    "invalid_argument config.port_mappings[1].container_port",
    (c) => c.portMappings[1]!.containerPort = -1,
  ],
  ["invalid_argument config.port_mappings[0].host_ip", (c) => c.portMappings[0]!.hostIp = "host"],
  ["invalid_argument config.labels", (c) => c.labels = { "": "x" }],
  ["invalid_argument config.labels key", (c) => c.labels = { "a\nb": "x" }],
  ['resource_exhausted config.labels["a"]', (c) => c.labels = { a: "x".repeat(4096) }],
  ["resource_exhausted config.annotations", (c) => c.annotations = { a: LONG, b: LONG }],
  ["invalid_argument config.linux.cgroup_parent", (c) => c.linux!.cgroupParent = "/a/../.."],
  ["invalid_argument config.linux.sysctls", (c) => c.linux!.sysctls = { "../x": "1" }],
  ["invalid_argument config.linux.sysctls", (c) => c.linux!.sysctls = { "net..x": "1" }],
  [
    "invalid_argument config.linux.sysctls.net.x",
    (c) => c.linux!.sysctls = { "net.x": "1\n2" },
  ],
  [
    "invalid_argument config.linux.resources.cpu_period",
    (c) => c.linux!.resources!.cpuPeriod = 1n,
  ],
  [
    "invalid_argument config.linux.security_context.namespace_options.network",
    (c) => c.linux!.securityContext!.namespaceOptions!.network = 9 as never,
  ],
  [
    "invalid_argument config.linux.security_context.namespace_options.ipc",
    (c) => c.linux!.securityContext!.namespaceOptions!.ipc = 1,
  ],
  [
    "invalid_argument config.linux.security_context.namespace_options.pid",
    (c) => Object.assign(c.linux!.securityContext!.namespaceOptions!, { pid: 3, targetId: "0123" }),
  ],
  [
    "unimplemented config.linux.security_context.namespace_options.userns_options",
    (c) => c.linux!.securityContext!.namespaceOptions!.usernsOptions!.mode = 0,
  ],
  [
    "invalid_argument config.linux.security_context.seccomp.localhost_ref",
    (c) => c.linux!.securityContext!.seccomp = { profileType: 2, localhostRef: "" },
  ],
  [
    "unimplemented config.linux.security_context.selinux_options",
    (c) => c.linux!.securityContext!.selinuxOptions = { user: "", role: "", type: "t", level: "" },
  ],
  ["unimplemented config.windows", (c) => c.windows = { securityContext: undefined }],
];

Deno.test("Each rule of a sandbox names its field", () => {
  for (const [expected, change] of SANDBOX_CASES) {
    assert.equal(sandbox(change), expected, String(change));
  }
});

const ID = (value: bigint) => ({ value });
type ContainerCase = readonly [expected: string, change: (c: ContainerConfig) => void];
const CONTAINER_CASES: readonly ContainerCase[] = [
  ["invalid_argument config.metadata", (c) => c.metadata = undefined],
  ["invalid_argument config.metadata.name", (c) => c.metadata!.name = "a/b"],
  ["invalid_argument config.image", (c) => c.image = undefined],
  ["invalid_argument config.image.image", (c) => c.image!.image = ""],
  ["invalid_argument config.image.image", (c) => c.image!.image = "a\nb"],
  ["resource_exhausted config.image.image", (c) => c.image!.image = LONG],
  [
    "invalid_argument config.image.user_specified_image",
    (c) => c.image!.userSpecifiedImage = "a\nb",
  ],
  [
    "resource_exhausted config.image.annotations",
    (c) => c.image!.annotations = { a: LONG, b: LONG },
  ],
  ["invalid_argument config.command[1]", (c) => c.command[1] = "a\0b"],
  ["resource_exhausted config.args[0]", (c) => c.args[0] = "a".repeat(131_072)],
  ["resource_exhausted config.args", (c) => c.args = Array(65_537).fill("")],
  ["resource_exhausted config.args", (c) => c.args = Array(64).fill("a".repeat(100_000))],
  ["invalid_argument config.working_dir", (c) => c.workingDir = "srv"],
  ["invalid_argument config.working_dir", (c) => c.workingDir = "/a/../b"],
  ["invalid_argument config.envs[0].key", (c) => c.envs[0]!.key = ""],
  ["invalid_argument config.envs[0].key", (c) => c.envs[0]!.key = "A=B"],
  ["invalid_argument config.envs[0].value", (c) => c.envs[0]!.value = Uint8Array.from([65, 0])],
  ["resource_exhausted config.envs[0]", (c) => c.envs[0]!.value = new Uint8Array(200_000).fill(65)],
  ["invalid_argument config.mounts[0].container_path", (c) => c.mounts[0]!.containerPath = "etc"],
  ["invalid_argument config.mounts[0].host_path", (c) => c.mounts[0]!.hostPath = ""],
  ["invalid_argument config.mounts[0].host_path", (c) => c.mounts[0]!.hostPath = "/a/.."],
  ["invalid_argument config.mounts[0].propagation", (c) => c.mounts[0]!.propagation = 3 as never],
  [
    "invalid_argument config.mounts[0].recursive_read_only",
    (c) => c.mounts[0]!.recursiveReadOnly = true,
  ],
  [
    "unimplemented config.mounts.image",
    (c) => Object.assign(c.mounts[0]!, { hostPath: "", image: { ...c.image!, image: "data" } }),
  ],
  [
    "invalid_argument config.mounts[0].host_path",
    (c) => c.mounts[0]!.image = { ...c.image!, image: "data" },
  ],
  [
    "unimplemented config.mounts.uidMappings",
    (c) => c.mounts[0]!.uidMappings = [{ hostId: 1000, containerId: 0, length: 1 }],
  ],
  [
    "invalid_argument config.mounts[0].gidMappings[0]",
    (c) => c.mounts[0]!.gidMappings = [{ hostId: 4_294_967_295, containerId: 0, length: 1 }],
  ],
  [
    "invalid_argument config.mounts[0].mount_options[1]",
    (c) => c.mounts[0]!.mountOptions = ["noexec", "suid"],
  ],
  ["resource_exhausted config.mounts", (c) => c.mounts = Array(4_097).fill(c.mounts[0])],
  ["unimplemented config.CDI_devices", (c) => c.CDIDevices = [{ name: "vendor.com/gpu=0" }]],
  [
    "invalid_argument config.devices[0].permissions",
    (c) => c.devices = [{ hostPath: "/dev/fuse", containerPath: "", permissions: "rr" }],
  ],
  ["invalid_argument config.log_path", (c) => c.logPath = "/etc/passwd"],
  ["invalid_argument config.log_path", (c) => c.logPath = "../x.log"],
  ["invalid_argument config.log_path", (c) => c.logPath = "a/../../x.log"],
  ["invalid_argument config.log_path", (c) => c.logPath = "a/"],
  ["invalid_argument config.log_path", (c) => c.logPath = "."],
  ["invalid_argument config.stdin_once", (c) => c.stdinOnce = true],
  ["invalid_argument config.stop_signal", (c) => c.stopSignal = 66 as never],
  [
    "invalid_argument config.linux.resources.oom_score_adj",
    (c) => c.linux!.resources!.oomScoreAdj = 1001n,
  ],
  [
    "invalid_argument config.linux.resources.memory_limit_in_bytes",
    (c) => c.linux!.resources!.memoryLimitInBytes = -1n,
  ],
  [
    "invalid_argument config.linux.resources.memory_swap_limit_in_bytes",
    (c) => c.linux!.resources!.memorySwapLimitInBytes = 1n,
  ],
  [
    "invalid_argument config.linux.resources.cpuset_cpus",
    (c) => c.linux!.resources!.cpusetCpus = "0\n1",
  ],
  [
    "invalid_argument config.linux.resources.hugepage_limits[0].page_size",
    (c) => c.linux!.resources!.hugepageLimits[0]!.pageSize = "../2MB",
  ],
  [
    "invalid_argument config.linux.resources.unified",
    (c) => c.linux!.resources!.unified = { "../cgroup.procs": "1" },
  ],
  [
    "invalid_argument config.linux.security_context.run_as_user.value",
    (c) => c.linux!.securityContext!.runAsUser = ID(4_294_967_295n),
  ],
  [
    "invalid_argument config.linux.security_context.run_as_user.value",
    (c) => c.linux!.securityContext!.runAsUser = ID(-1n),
  ],
  [
    "invalid_argument config.linux.security_context.run_as_group",
    (c) => c.linux!.securityContext!.runAsUser = undefined,
  ],
  [
    "invalid_argument config.linux.security_context.supplemental_groups[0]",
    (c) => c.linux!.securityContext!.supplementalGroups = [2n ** 62n],
  ],
  [
    "invalid_argument config.linux.security_context.supplemental_groups_policy",
    (c) => c.linux!.securityContext!.supplementalGroupsPolicy = 5 as never,
  ],
  [
    "invalid_argument config.linux.security_context.run_as_username",
    (c) => c.linux!.securityContext!.runAsUsername = "a\nb",
  ],
  [
    "invalid_argument config.linux.security_context.masked_paths[0]",
    (c) => c.linux!.securityContext!.maskedPaths = ["proc"],
  ],
  [
    "invalid_argument config.linux.security_context.capabilities.add_capabilities[0]",
    (c) => c.linux!.securityContext!.capabilities!.addCapabilities = ["NET ADMIN"],
  ],
  [
    "invalid_argument config.linux.security_context.capabilities.add_ambient_capabilities[0]",
    (c) => c.linux!.securityContext!.capabilities!.addAmbientCapabilities = ["NET ADMIN"],
  ],
  [
    "invalid_argument config.linux.security_context.namespace_options.target_id",
    (c) => c.linux!.securityContext!.namespaceOptions!.pid = 3,
  ],
  [
    "invalid_argument config.linux.security_context.namespace_options.target_id",
    (c) => c.linux!.securityContext!.namespaceOptions!.targetId = "0123",
  ],
  [
    "invalid_argument config.linux.security_context.apparmor.profile_type",
    (c) => c.linux!.securityContext!.apparmor = { profileType: 8 as never, localhostRef: "" },
  ],
  [
    "unimplemented config.windows",
    (c) => c.windows = { resources: undefined, securityContext: undefined },
  ],
];

Deno.test("Each rule of a container names its field", () => {
  for (const [expected, change] of CONTAINER_CASES) {
    assert.equal(container(change), expected, String(change));
  }
});

Deno.test("Ids may be prefixes but nothing that is no name", () => {
  assert.equal(validateId("container_id", "0123"), "0123");
  for (const id of ["", "../x", "a/b", "a\0", "a\n"]) {
    assert.equal(refusal(() => validateId("container_id", id)), "invalid_argument container_id");
  }
  assert.equal(
    refusal(() => validateId("container_id", LONG)),
    "resource_exhausted container_id",
  );
});

Deno.test("Time-outs become milliseconds that a timer can hold", () => {
  assert.equal(validateTimeoutMs("timeout", 0n), 0);
  assert.equal(validateTimeoutMs("timeout", 30n), 30_000);
  assert.equal(validateTimeoutMs("timeout", 2n ** 63n - 1n), 2 ** 31 - 1);
  assert.equal(refusal(() => validateTimeoutMs("timeout", -1n)), "invalid_argument timeout");
});

Deno.test("A limit's message has its name and its reason", () => {
  assert.throws(() => validateArguments("cmd", ["a".repeat(200_000)]), {
    message: 'cmd[0] has 200000 bytes, more than the 131071 that the limit "argument" allows: ' +
      "the kernel's limit of one argument or variable, MAX_ARG_STRLEN",
  });
});

Deno.test("Hostile text in a refused value cannot break out of the message", () => {
  const message = refusalMessage(() => validateId("container_id", '"\n\x1b[2J/'));
  assert.ok(!message.includes("\n") && !message.includes("\x1b"));
});

function refusalMessage(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return error instanceof Error ? error.message : "";
  }
  return "";
}
