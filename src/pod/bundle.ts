/**
 * The bundle of a container: everything that must be looked up on the node and in the image's file
 * system before the specification can be built, and the files it is written to.
 *
 * @module
 */
import { type DeviceEntry, specCgroupsPath } from "../model/mod.ts";
import {
  appArmorProfile,
  type BoundVolume,
  buildSpec,
  checkedPropagation,
  completedGroup,
  completedPasswd,
  type DeviceNode,
  encodeSpec,
  type FileProfile,
  imageVolumes,
  type NodeFacts,
  parseDeviceAnnotation,
  refuseOpenFiles,
  type ResolvedDevice,
  type ResolvedMount as SpecMountSource,
  type ResolvedUser,
  resolveUser,
  type SeccompProfile,
  seccompRequest,
  type SpecDefaults,
  type SpecFiles,
  type SpecInputs,
  specWarnings,
  userRequest,
  wishOf,
  workingDirectory,
} from "../oci/mod.ts";
import { type Device, MountPropagation } from "../proto/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { ContainerUser } from "./container.ts";
import type { BundleWriter, ContainerCreation } from "./container_create_plan.ts";
import type { ResolvedMount } from "./host_paths.ts";
import type { PodLayout } from "./layout.ts";
import type { ContainerPidNamespace } from "./pid_namespace.ts";
import { sandboxIps, type SandboxRecord } from "./sandbox.ts";

/** Files of an image are read up to here: a real passwd file is a few kilobytes (CVE-2025-4437). */
const IDENTITY_FILE_LIMIT_BYTES = 1024 * 1024;

/** Files of a container's own that are mounted from its bundle. */
const BUNDLE_FILES = ["passwd", "group", "localtime", "containerenv"] as const;
type BundleFile = typeof BUNDLE_FILES[number];

/** Safe access to a container's root file system: no path leaves it, no device or pipe is opened. */
export interface RootfsFiles {
  /**
   * The content of a regular file, or undefined if there is none at the path.
   *
   * @throws {InvalidArgumentError} it is no regular file or larger than the limit
   */
  read(rootfs: string, path: string, limitBytes: number): Uint8Array | undefined;
  /**
   * Makes a directory and its parents, mode 0755; leaves what is there. Returns its path in the rootfs
   * with all links followed.
   *
   * @throws {InvalidArgumentError} naming the field: something on the way is no directory, or a link
   *   that leads nowhere
   */
  makeDirectory(rootfs: string, path: string, options: DirectoryOptions): string;
  /** Makes a link and its missing folder; leaves whatever is there. */
  linkIfAbsent(rootfs: string, path: string, target: string): void;
}

export interface DirectoryOptions {
  readonly uid: number;
  readonly gid: number;
  /** What asks for it, named in errors. */
  readonly field: string;
}

/** Device nodes of the host. */
export interface HostDevices {
  /** Every node below /dev, for privileged containers. */
  all(): readonly DeviceNode[];
  /**
   * @param fieldOf names the place of each in errors
   * @throws {InvalidArgumentError} naming the field: the host path is no device
   */
  resolve(
    devices: readonly Device[],
    fieldOf: (index: number) => string,
  ): readonly ResolvedDevice[];
}

/** AppArmor profiles that the node's kernel knows. */
export interface AppArmorProfiles {
  /**
   * Returns when the profile is loaded.
   *
   * @throws {FailedPreconditionError} it is not, and cannot be loaded
   */
  ensure(name: string): Promise<void>;
}

export interface BundleOptions {
  readonly layout: PodLayout;
  readonly rootfs: RootfsFiles;
  readonly devices: HostDevices;
  readonly node: Omit<NodeFacts, "recursiveReadOnlyMounts">;
  /** True if a handler can make a mount read-only with all below it. */
  readonly recursiveReadOnlyMounts: (handler: string) => boolean;
  readonly defaults: (handler: string) => SpecDefaults;
  /** `additional_devices`: for every container. */
  readonly additionalDevices: readonly DeviceEntry[];
  /** `allowed_devices`: what pods may ask for by annotation. */
  readonly allowedDevices: readonly string[];
  /** Below it mounts come and go: a host path that contains it is never mounted privately. */
  readonly storageRoot: string;
  readonly seccomp: SeccompProfiles;
  /** Asked on nodes with AppArmor only. */
  readonly appArmor: AppArmorProfiles;
  readonly imageVolumes: ImageVolumes;
  /** Content for /etc/localtime, undefined to leave the image's own. */
  readonly timeZone: () => Promise<Uint8Array | undefined>;
  /** Copies the node's default mounts into a folder that does not exist yet. */
  readonly defaultMounts: (folder: string) => Promise<readonly BoundVolume[]>;
  readonly log: Logger;
}

/**
 * `image_volumes`: a volume that the image declares is made in its root file system, gets a folder of
 * its own, or is nothing.
 */
export type ImageVolumes = "mkdir" | "bind" | "ignore";

/** Seccomp profiles from files. */
export interface SeccompProfiles {
  /** A handler's for RuntimeDefault; undefined for the one built in. */
  runtimeDefault(handler: string): SeccompProfile | undefined;
  /** For privileged containers, which have none without it. */
  readonly privileged: FileProfile | undefined;
  /** @throws {FailedPreconditionError} the file is missing or no profile */
  load(path: string): Promise<SeccompProfile>;
}

export class Bundles implements BundleWriter {
  readonly #options: BundleOptions;

  constructor(options: BundleOptions) {
    this.#options = options;
  }

  async write(creation: ContainerCreation): Promise<ContainerUser> {
    const { rootfs } = this.#options;
    const { record, image } = creation;
    const passwd = rootfs.read(creation.rootfs, "etc/passwd", IDENTITY_FILE_LIMIT_BYTES);
    const group = rootfs.read(creation.rootfs, "etc/group", IDENTITY_FILE_LIMIT_BYTES);
    const security = record.config.linux?.securityContext;
    const user = resolveUser(userRequest(security), image.config.user, passwd, group);
    // Before the working directory, which is often a volume, too, and belongs to the user then.
    const volumes = [
      ...await this.#options.defaultMounts(`${record.place.bundle}/mounts`),
      ...await this.#volumes(creation, user),
    ];
    const workingDir = workingDirectory(record.config, image.config);
    const field = record.config.workingDir === "" ? "image.working_dir" : "config.working_dir";
    refuseOpenFiles(
      rootfs.makeDirectory(creation.rootfs, workingDir, { uid: 0, gid: 0, field }),
      field,
      workingDir,
    );
    rootfs.linkIfAbsent(creation.rootfs, "/etc/mtab", "/proc/mounts");

    const files = await this.#writeFiles(record.place.bundle, {
      passwd: completedPasswd(passwd, user, workingDir),
      group: completedGroup(group, user),
      localtime: await this.#options.timeZone(),
      containerenv: new Uint8Array(),
    });
    const seccomp = await this.#seccomp(creation);
    const appArmor = appArmorProfile(security, this.#options.node);
    if (appArmor !== undefined) await this.#options.appArmor.ensure(appArmor);
    const inputs = this.#inputs({ creation, user, files, volumes, seccomp });
    const spec = buildSpec(inputs);
    for (const warning of specWarnings(inputs)) this.#options.log.warn(warning, { id: record.id });
    await Deno.writeTextFile(`${record.place.bundle}/config.json`, encodeSpec(spec), {
      mode: 0o600,
    });
    return { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids };
  }

  /** Makes what `image_volumes` says; returns those that are to be mounted. */
  async #volumes(
    { record, image, rootfs }: ContainerCreation,
    { uid, gid }: ResolvedUser,
  ): Promise<BoundVolume[]> {
    const { imageVolumes: how, layout, rootfs: files } = this.#options;
    if (how === "ignore" || image.config.volumes.length === 0) return [];
    const mounted = record.config.mounts.map(({ containerPath }) => containerPath);
    const paths = imageVolumes(image.config, mounted);
    if (how === "mkdir") {
      for (const path of paths) {
        files.makeDirectory(rootfs, path, { uid, gid, field: "image.volumes" });
      }
      return [];
    }
    const volumes = paths.map((containerPath, index) => ({
      containerPath,
      hostPath: `${layout.volumes(record.id)}/${index}`,
    }));
    for (const { hostPath } of volumes) {
      await Deno.mkdir(hostPath, { recursive: true, mode: 0o755 });
      await Deno.chown(hostPath, uid, gid);
    }
    return volumes;
  }

  async #writeFiles(
    bundle: string,
    contents: Readonly<Record<BundleFile, Uint8Array | undefined>>,
  ): Promise<Pick<SpecFiles, BundleFile>> {
    const written: Partial<Record<BundleFile, string>> = {};
    for (const name of BUNDLE_FILES) {
      const content = contents[name];
      if (content === undefined) continue;
      written[name] = `${bundle}/${name}`;
      await Deno.writeFile(`${bundle}/${name}`, content, { mode: 0o644 });
    }
    return written;
  }

  async #seccomp({ record, sandbox }: ContainerCreation): Promise<SpecInputs["seccomp"]> {
    const { seccomp } = this.#options;
    const runtimeDefault = seccomp.runtimeDefault(sandbox.handler);
    const request = seccompRequest(record.config.linux?.securityContext);
    return {
      ...(runtimeDefault === undefined ? {} : { runtimeDefault }),
      ...(seccomp.privileged === undefined ? {} : { privileged: seccomp.privileged }),
      ...(request.kind === "localhost" ? { localhost: await seccomp.load(request.path) } : {}),
    };
  }

  #mounts(resolved: readonly ResolvedMount[]): SpecMountSource[] {
    if (resolved.length === 0) return [];
    const mountinfo = Deno.readTextFileSync("/proc/self/mountinfo");
    return resolved.map(({ mount, source }, index) => ({
      containerPath: mount.containerPath,
      hostPath: source,
      readonly: mount.readonly,
      recursiveReadOnly: mount.recursiveReadOnly,
      options: mount.mountOptions,
      propagation: checkedPropagation({
        mountinfo,
        hostPath: source,
        propagation: propagationName(mount.propagation),
        storageRoot: this.#options.storageRoot,
        field: `config.mounts[${index}]`,
      }),
    }));
  }

  #nodeDevices(
    { config }: SandboxRecord,
    { annotations }: SpecDefaults,
  ): readonly ResolvedDevice[] {
    const { devices, additionalDevices, allowedDevices } = this.#options;
    const asked = wishOf("devices", config.annotations, annotations);
    const field = `annotations["${asked?.key}"]`;
    const wished = asked === undefined
      ? []
      : parseDeviceAnnotation(asked.value, { field, allowed: allowedDevices });
    return [
      ...devices.resolve(additionalDevices, () => "runtime.additional_devices"),
      ...devices.resolve(wished, () => field),
    ];
  }

  #inputs({ creation, user, files, volumes, seccomp }: {
    readonly creation: ContainerCreation;
    readonly user: ResolvedUser;
    readonly files: Pick<SpecFiles, BundleFile>;
    readonly volumes: readonly BoundVolume[];
    readonly seccomp: SpecInputs["seccomp"];
  }): SpecInputs {
    const { layout, devices, node, recursiveReadOnlyMounts } = this.#options;
    const defaults = this.#options.defaults(creation.sandbox.handler);
    const { record, sandbox, image } = creation;
    const { net, ipc, uts } = sandbox.namespaces;
    const podFiles = layout.podFiles(sandbox.id);
    const privileged = record.config.linux?.securityContext?.privileged ?? false;
    return {
      containerId: record.id,
      sandboxId: sandbox.id,
      container: record.config,
      sandbox: sandbox.config,
      image: image.config,
      user,
      rootfs: creation.rootfs,
      hostname: sandbox.hostname,
      files: {
        hostname: podFiles.hostname,
        hosts: podFiles.hosts,
        resolvConf: podFiles.resolvConf,
        shm: ipc.kind === "host" ? "/dev/shm" : podFiles.shm,
        ...files,
      },
      mounts: this.#mounts(creation.mounts),
      volumes,
      devices: devices.resolve(
        record.config.devices,
        (index) => `config.devices[${index}].host_path`,
      ),
      nodeDevices: this.#nodeDevices(sandbox, defaults),
      hostDevices: privileged ? devices.all() : [],
      namespaces: { net, ipc, uts, pid: specNamespace(creation.pidNamespace) },
      cgroupPath: specCgroupsPath(record.place.cgroupPath),
      node: { ...node, recursiveReadOnlyMounts: recursiveReadOnlyMounts(sandbox.handler) },
      defaults,
      seccomp,
      record: {
        name: creation.name,
        sandboxName: sandboxName(creation),
        createdAtNs: record.createdAtNs,
        logPath: record.place.logPath,
        imageId: image.id,
        imageName: image.repoTags[0] ?? image.repoDigests[0] ?? "",
        repoDigests: image.repoDigests,
        ips: sandboxIps(sandbox),
      },
    };
  }
}

/** Another container's namespace has been pinned by an earlier step. */
function specNamespace(pid: ContainerPidNamespace): SpecInputs["namespaces"]["pid"] {
  return pid.kind === "target" ? { kind: "pinned", path: pid.path } : pid;
}

function propagationName(propagation: MountPropagation): SpecMountSource["propagation"] {
  switch (propagation) {
    case MountPropagation.PROPAGATION_HOST_TO_CONTAINER:
      return "host-to-container";
    case MountPropagation.PROPAGATION_BIDIRECTIONAL:
      return "bidirectional";
    default:
      return "private";
  }
}

function sandboxName({ sandbox }: ContainerCreation): string {
  const { name = "", namespace = "", uid = "", attempt = 0 } = sandbox.config.metadata ?? {};
  return ["k8s", name, namespace, uid, attempt].join("_");
}
