/**
 * Everything a container's specification is made from. Whatever has to be looked up on the node has
 * been looked up by the caller, so that building is pure.
 *
 * @module
 */
import type { ImageConfig } from "../image/images.ts";
import type { ContainerId, ImageId, SandboxId } from "../model/mod.ts";
import type { ContainerConfig, PodSandboxConfig } from "../proto/mod.ts";
import type { AnnotationRules } from "./pod_wishes.ts";
import type { SpecRlimit } from "./runtime_spec.ts";
import type { FileProfile, SeccompProfile } from "./seccomp.ts";
import type { ResolvedUser } from "./user.ts";

export interface SpecInputs {
  readonly containerId: ContainerId;
  readonly sandboxId: SandboxId;
  readonly container: ContainerConfig;
  readonly sandbox: PodSandboxConfig;
  readonly image: ImageConfig;
  readonly user: ResolvedUser;
  /** Host path of the mounted root file system. */
  readonly rootfs: string;
  /** Host name inside the pod; the node's for a pod on the host network. */
  readonly hostname: string;
  readonly files: SpecFiles;
  /** One for each mount of the request, in its order. */
  readonly mounts: readonly ResolvedMount[];
  /**
   * Files and directories of the container's own: copies for the node's default mounts, and folders for
   * the volumes that the image declares (`image_volumes.ts`).
   */
  readonly volumes: readonly BoundVolume[];
  /** One for each device of the request; directories already expanded. */
  readonly devices: readonly ResolvedDevice[];
  /** One for each of `additional_devices` and of the pod's devices annotation, in this order. */
  readonly nodeDevices: readonly ResolvedDevice[];
  /** The node's devices, which a privileged container gets. */
  readonly hostDevices: readonly DeviceNode[];
  readonly namespaces: SpecNamespaces;
  /** As it goes into the specification: `/kubepods/.../sauropod-<id>` or `slice:prefix:name`. */
  readonly cgroupPath: string;
  readonly node: NodeFacts;
  readonly defaults: SpecDefaults;
  /** Parsed profiles; which of them is used follows from the request. */
  readonly seccomp: {
    /** Used for RuntimeDefault. Undefined: the profile built into this runtime. */
    readonly runtimeDefault?: SeccompProfile;
    /** Content of the file that a Localhost profile names. */
    readonly localhost?: SeccompProfile;
    /** `privileged_seccomp_profile`: of privileged containers. */
    readonly privileged?: FileProfile;
  };
  readonly record: SpecRecord;
}

/** Host paths of files made for the pod or the container; one left out is not mounted. */
export interface SpecFiles {
  readonly hostname?: string;
  readonly hosts?: string;
  readonly resolvConf?: string;
  /** Directory; the host's /dev/shm for a pod in the host's IPC namespace. */
  readonly shm: string;
  /** Completed copies of the image's files, see `passwd_entry.ts`. */
  readonly passwd?: string;
  readonly group?: string;
  /** File of the configured time zone. */
  readonly localtime?: string;
  /** Empty file by which programs see that they run in a container. */
  readonly containerenv?: string;
}

/** A file or directory that was made for one container. */
export interface BoundVolume {
  /** Absolute and clean. */
  readonly containerPath: string;
  readonly hostPath: string;
}

export interface ResolvedMount {
  /** Absolute, as requested. */
  readonly containerPath: string;
  /** Symlinks resolved, exists. */
  readonly hostPath: string;
  readonly readonly: boolean;
  readonly recursiveReadOnly: boolean;
  readonly propagation: "private" | "host-to-container" | "bidirectional";
  /** Beside the above: `noexec`, `nodev`, `nosuid`. */
  readonly options?: readonly string[];
}

/** A device node as it is on the host. */
export interface DeviceNode {
  readonly path: string;
  readonly type: "c" | "b";
  readonly major: number;
  readonly minor: number;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface ResolvedDevice {
  /** Path inside the container. */
  readonly containerPath: string;
  /** Of the letters r, w and m. */
  readonly permissions: string;
  readonly node: DeviceNode;
  /** True if the container path is another device of the host. */
  readonly shadowsHostDevice: boolean;
}

export interface SpecNamespaces {
  readonly net: NamespaceChoice;
  readonly ipc: NamespaceChoice;
  readonly uts: NamespaceChoice;
  readonly pid: NamespaceChoice | { readonly kind: "container" };
}

/** Pinned at a path, or the node's own. */
export type NamespaceChoice =
  | { readonly kind: "pinned"; readonly path: string }
  | { readonly kind: "host" };

export interface NodeFacts {
  readonly cgroupVersion: 1 | 2;
  /** Permitted set of this process, names such as `CAP_CHOWN`: more cannot be given. */
  readonly capabilities: readonly string[];
  readonly seccomp: boolean;
  /** Name of the profile that is loaded for RuntimeDefault, null if none is. */
  readonly appArmor: { readonly defaultProfile: string | null } | null;
  /** Lowest oom_score_adj that this process may set; -1000 with CAP_SYS_RESOURCE. */
  readonly oomScoreAdjFloor: number;
  /** The unit of systemd's that runs this process; of letters, digits and `:_.@-`. */
  readonly serviceUnit: string;
  readonly hugetlb: boolean;
  readonly pidsController: boolean;
  readonly swapAccounting: boolean;
  /** The runtime handler and the kernel can make a mount read-only with all below it. */
  readonly recursiveReadOnlyMounts: boolean;
  /** `/sys/devices/system/cpu/cpu<N>/thermal_throttle` of each CPU: masked with the other paths. */
  readonly thermalThrottlePaths?: readonly string[];
  /** Go's name of the machine's architecture, as profiles have it: `amd64`, `arm64`. */
  readonly architecture: string;
}

/** What the configuration gives to every container. */
export interface SpecDefaults {
  /** Names such as `CHOWN`. */
  readonly capabilities: readonly string[];
  readonly addInheritableCapabilities: boolean;
  /** `KEY=VALUE`. */
  readonly env: readonly string[];
  readonly ulimits: readonly SpecRlimit[];
  /** -1 for no limit. */
  readonly pidsLimit: number;
  /** `read_only`: every root file system. */
  readonly readOnly: boolean;
  readonly privilegedWithoutHostDevices: boolean;
  readonly deviceOwnershipFromSecurityContext: boolean;
  /** Least memory limit a container may have. */
  readonly minMemoryBytes: bigint;
  /** What pods of the handler may ask for by annotation, and what they get unasked. */
  readonly annotations: AnnotationRules;
}

/** What is written into the specification's annotations for tools that read them. */
export interface SpecRecord {
  /** `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`. */
  readonly name: string;
  readonly sandboxName: string;
  readonly createdAtNs: bigint;
  readonly logPath: string;
  readonly imageId: ImageId;
  /** Some name of the image, may be empty. */
  readonly imageName: string;
  readonly repoDigests: readonly string[];
  readonly ips: readonly string[];
}
