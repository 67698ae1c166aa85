/**
 * CRI requests for a pod manifest, as the kubelet would make them. Pure.
 *
 * @module
 */
import {
  type ContainerConfig,
  type DeepPartial,
  type LinuxContainerResources,
  MountPropagation,
  NamespaceMode,
  type PodSandboxConfig,
  Protocol,
  type SecurityProfile,
  SecurityProfile_ProfileType as ProfileType,
  SupplementalGroupsPolicy,
} from "../proto/mod.ts";
import { environmentOf } from "./container_environment.ts";
import { expand } from "./expansion.ts";
import type { PodFacts } from "./pod_fields.ts";
import type {
  ContainerManifest,
  PodManifest,
  ProfileChoice,
  SelinuxManifest,
} from "./pod_manifest.ts";
import { DATA_LINK, type VolumePaths } from "./pod_volumes.ts";
import type { ResourceManifest } from "./resource_manifest.ts";

/** Of a container that `play` made: its manifest's restartPolicy is its own, it ends last. */
export const SIDECAR_ANNOTATION = "sauropod.io/play.sidecar";
/** Seconds from the stop signal to the kill, as the kubelet writes it. */
export const GRACE_ANNOTATION = "io.kubernetes.pod.terminationGracePeriod";

/** A pod's sandbox; logs go where the server's configuration says. */
export function sandboxConfig(pod: PodManifest, uid: string): DeepPartial<PodSandboxConfig> {
  return {
    metadata: { name: pod.name, namespace: pod.namespace, uid, attempt: 0 },
    hostname: pod.hostNetwork ? "" : pod.hostname,
    labels: {
      ...pod.labels,
      "io.kubernetes.pod.name": pod.name,
      "io.kubernetes.pod.namespace": pod.namespace,
      "io.kubernetes.pod.uid": uid,
    },
    annotations: { ...pod.annotations },
    ...(pod.dns === undefined ? {} : {
      dnsConfig: {
        servers: [...pod.dns.servers],
        searches: [...pod.dns.searches],
        options: [...pod.dns.options],
      },
    }),
    portMappings: allContainers(pod).flatMap(({ ports }) => ports)
      .filter((port) => port.hostPort > 0 && !pod.hostNetwork)
      .map((port) => ({
        protocol: Protocol[port.protocol],
        containerPort: port.containerPort,
        hostPort: port.hostPort,
        hostIp: port.hostIp,
      })),
    linux: {
      sysctls: { ...pod.sysctls },
      securityContext: {
        namespaceOptions: namespaceOptions(pod),
        ...optionalId("runAsUser", pod.security.runAsUser),
        ...optionalId("runAsGroup", pod.security.runAsGroup),
        supplementalGroups: groupsOf(pod),
        supplementalGroupsPolicy: GROUPS_POLICY[pod.security.supplementalGroupsPolicy],
        privileged: allContainers(pod).some((container) => container.security.privileged),
        seccomp: profile(pod.security.seccomp),
        ...optionalSelinux(pod.security.selinux),
      },
    },
  };
}

export function allContainers(pod: PodManifest): readonly ContainerManifest[] {
  return [...pod.initContainers, ...pod.containers];
}

export interface ContainerContext {
  readonly pod: PodManifest;
  readonly facts: PodFacts;
  readonly volumes: VolumePaths;
  /** Reference of the image that was pulled or found. */
  readonly imageRef: string;
  /** 0 for the first, one more at each restart. */
  readonly attempt: number;
}

export function containerConfig(
  container: ContainerManifest,
  { pod, facts, volumes, imageRef, attempt }: ContainerContext,
): DeepPartial<ContainerConfig> {
  const { security } = container;
  const user = security.runAsUser ?? pod.security.runAsUser;
  const group = security.runAsGroup ?? pod.security.runAsGroup;
  const environment = environmentOf(container.variables, facts, container.resources);
  return {
    metadata: { name: container.name, attempt },
    image: { image: imageRef, userSpecifiedImage: container.image },
    command: container.command.map((text) => expand(text, environment)),
    args: container.args.map((text) => expand(text, environment)),
    workingDir: container.workingDir,
    envs: [...environment].map(([key, value]) => ({ key, value: encoder.encode(value) })),
    mounts: container.mounts.map((mount) => ({
      containerPath: mount.mountPath,
      hostPath: `${volumes.get(mount.volume) ?? ""}${
        mount.subPath === undefined ? "" : `/${DATA_LINK}/${mount.subPath}`
      }`,
      readonly: mount.readOnly,
      propagation: PROPAGATION[mount.propagation],
    })),
    labels: {
      "io.kubernetes.container.name": container.name,
      "io.kubernetes.pod.name": pod.name,
      "io.kubernetes.pod.namespace": pod.namespace,
      "io.kubernetes.pod.uid": facts.uid,
    },
    annotations: {
      [GRACE_ANNOTATION]: String(pod.terminationGracePeriodSeconds),
      ...(container.sidecar ? { [SIDECAR_ANNOTATION]: "true" } : {}),
    },
    logPath: `${container.name}/${attempt}.log`,
    stdin: container.stdin,
    stdinOnce: container.stdinOnce,
    tty: container.tty,
    linux: {
      resources: cgroupResources(container.resources, facts.node.memory),
      securityContext: {
        capabilities: {
          addCapabilities: [...security.addCapabilities],
          dropCapabilities: [...security.dropCapabilities],
        },
        privileged: security.privileged,
        namespaceOptions: namespaceOptions(pod),
        ...optionalId("runAsUser", user),
        ...optionalId("runAsGroup", group),
        supplementalGroups: groupsOf(pod),
        supplementalGroupsPolicy: GROUPS_POLICY[pod.security.supplementalGroupsPolicy],
        readonlyRootfs: security.readOnlyRootFilesystem,
        noNewPrivs: !security.allowPrivilegeEscalation,
        seccomp: security.privileged
          ? { profileType: ProfileType.Unconfined }
          : profile(security.seccomp ?? pod.security.seccomp),
        ...optionalAppArmor(security.appArmor ?? pod.security.appArmor),
        ...optionalSelinux(security.selinux ?? pod.security.selinux),
        ...(security.privileged ? {} : {
          maskedPaths: [...MASKED_PATHS],
          readonlyPaths: [...READONLY_PATHS],
        }),
      },
    },
  };
}

const encoder = new TextEncoder();

const GROUPS_POLICY = {
  Merge: SupplementalGroupsPolicy.Merge,
  Strict: SupplementalGroupsPolicy.Strict,
} as const;

const PROPAGATION = {
  None: MountPropagation.PROPAGATION_PRIVATE,
  HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  Bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
} as const;

/** What the kubelet hides of /proc and /sys; an empty list in a request would show all of it. */
const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

function namespaceOptions(pod: PodManifest) {
  return {
    network: pod.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    ipc: pod.hostIpc ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: pod.hostPid
      ? NamespaceMode.NODE
      : pod.shareProcessNamespace
      ? NamespaceMode.POD
      : NamespaceMode.CONTAINER,
  };
}

function groupsOf({ security }: PodManifest): bigint[] {
  const { supplementalGroups, fsGroup } = security;
  return fsGroup === undefined ? [...supplementalGroups] : [...supplementalGroups, fsGroup];
}

function optionalId<Name extends string>(name: Name, value: bigint | undefined) {
  return value === undefined ? {} : { [name]: { value } };
}

/** Where nothing is said, the profile of the runtime: a person at a terminal gets the safe default. */
function profile(choice: ProfileChoice | undefined): DeepPartial<SecurityProfile> {
  switch (choice?.kind) {
    case "Unconfined":
      return { profileType: ProfileType.Unconfined };
    case "Localhost":
      return { profileType: ProfileType.Localhost, localhostRef: choice.path };
    default:
      return { profileType: ProfileType.RuntimeDefault };
  }
}

function optionalAppArmor(choice: ProfileChoice | undefined) {
  return choice === undefined ? {} : { apparmor: profile(choice) };
}

function optionalSelinux(selinux: SelinuxManifest | undefined) {
  return selinux === undefined ? {} : { selinuxOptions: { ...selinux } };
}

const PERIOD_USEC = 100_000n;
const LEAST_SHARES = 2n;
const MOST_SHARES = 262_144n;
const LEAST_QUOTA_USEC = 1_000n;

/**
 * CPU shares from the request, quota from the limit, and how readily the kernel's memory killer takes
 * the container: by the kubelet's rules.
 *
 * @see https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#node-out-of-memory-behavior
 */
export function cgroupResources(
  resources: ResourceManifest,
  memoryBytes: bigint,
): DeepPartial<LinuxContainerResources> {
  const { cpuRequest, cpuLimit, memoryLimit } = resources;
  return {
    cpuShares: cpuRequest === undefined || cpuRequest === 0n
      ? LEAST_SHARES
      : clamp(cpuRequest * 1024n / 1000n, LEAST_SHARES, MOST_SHARES),
    ...(cpuLimit === undefined || cpuLimit === 0n ? {} : {
      cpuPeriod: PERIOD_USEC,
      cpuQuota: max(cpuLimit * PERIOD_USEC / 1000n, LEAST_QUOTA_USEC),
    }),
    ...(memoryLimit === undefined ? {} : { memoryLimitInBytes: memoryLimit }),
    oomScoreAdj: oomScoreAdj(resources, memoryBytes),
  };
}

function oomScoreAdj(resources: ResourceManifest, memoryBytes: bigint): bigint {
  const { cpuRequest, cpuLimit, memoryRequest, memoryLimit } = resources;
  const limited = cpuLimit !== undefined && memoryLimit !== undefined;
  if (limited && cpuRequest === cpuLimit && memoryRequest === memoryLimit) return -997n;
  if (cpuRequest === undefined && memoryRequest === undefined) return 1000n;
  const share = memoryBytes === 0n ? 0n : 1000n * (memoryRequest ?? 0n) / memoryBytes;
  return clamp(1000n - share, 3n, 999n);
}

function clamp(value: bigint, least: bigint, most: bigint): bigint {
  return value < least ? least : value > most ? most : value;
}

function max(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
