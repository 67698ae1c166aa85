/** The mounts of a container: what every one has, what the pod brings, what the request asks for. @module */
import { FailedPreconditionError, InvalidArgumentError, shown } from "../errors/mod.ts";
import { cleanPath, depthOf, isAtOrBelow } from "./container_path.ts";
import { cgroupWriteWish } from "./pod_wishes.ts";
import { isSystemd, processArgs } from "./process.ts";
import type { SpecMount } from "./runtime_spec.ts";
import type { BoundVolume, ResolvedMount, SpecInputs } from "./spec_inputs.ts";

export interface BuiltMounts {
  readonly mounts: SpecMount[];
  /** What the root mount must be so that the mounts' propagation works. */
  readonly rootfsPropagation?: "rshared" | "rslave";
}

/**
 * Mounts sorted by depth, so that none hides another that was asked for below it. A mount of the
 * request replaces the default at its path; one on /dev or /sys also those below.
 *
 * @throws {InvalidArgumentError} a mount's path or options contradict each other
 */
export function buildMounts(inputs: SpecInputs): BuiltMounts {
  const requested = inputs.mounts.map((mount) => requestMount(mount, inputs));
  const hidden = requested.map(({ destination }) => destination);
  const remaining = defaultMounts(inputs).filter(({ destination }) =>
    !hidden.some((path) =>
      destination === path ||
      ((path === "/dev" || path === "/sys") && isAtOrBelow(destination, path)) ||
      // On top of a folder of the host, the mount point would be made in that folder.
      (OURS_ALONE.has(destination) && isAtOrBelow(destination, path))
    )
  );
  const volumes = inputs.volumes.filter(({ containerPath }) => !hidden.includes(containerPath));
  const mounts = [...remaining, ...volumes.map(volumeMount), ...requested]
    .map((mount, index) => ({ mount, index, depth: depthOf(mount.destination) }))
    .sort((a, b) => a.depth - b.depth || a.index - b.index)
    .map(({ mount }) => mount);
  const wanted = new Set(inputs.mounts.map(({ propagation }) => propagation));
  return wanted.has("bidirectional")
    ? { mounts, rootfsPropagation: "rshared" }
    : wanted.has("host-to-container")
    ? { mounts, rootfsPropagation: "rslave" }
    : { mounts };
}

/** Mounted for the programs of the image's own root, not for what a request puts there instead. */
const OURS_ALONE: ReadonlySet<string> = new Set([
  "/etc/group",
  "/etc/localtime",
  "/etc/passwd",
  "/run/.containerenv",
]);

/** True if the container's root file system is read-only. */
export function isRootReadOnly({ container, defaults }: SpecInputs): boolean {
  return defaults.readOnly || (container.linux?.securityContext?.readonlyRootfs ?? false);
}

function defaultMounts(inputs: SpecInputs): SpecMount[] {
  const { files, container, image, defaults } = inputs;
  const privileged = container.linux?.securityContext?.privileged ?? false;
  const systemd = isSystemd(processArgs(container, image));
  const sysAccess = privileged ? "rw" : "ro";
  const cgroupWish = inputs.node.cgroupVersion === 2 &&
    cgroupWriteWish(inputs.sandbox.annotations, defaults.annotations);
  const cgroupAccess = privileged || systemd || cgroupWish ? "rw" : "ro";
  const own = (destination: string, source: string | undefined, access?: "ro"): SpecMount[] =>
    source === undefined ? [] : [{
      destination,
      type: "bind",
      source,
      options: [
        "bind",
        "rprivate",
        "nosuid",
        "nodev",
        "noexec",
        access ?? (isRootReadOnly(inputs) ? "ro" : "rw"),
      ],
    }];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
      destination: "/dev/mqueue",
      type: "mqueue",
      source: "mqueue",
      options: ["nosuid", "noexec", "nodev"],
    },
    {
      destination: "/sys",
      type: "sysfs",
      source: "sysfs",
      options: ["nosuid", "noexec", "nodev", sysAccess],
    },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", cgroupAccess],
    },
    {
      destination: "/dev/shm",
      type: "bind",
      source: files.shm,
      options: ["rbind", "rprivate", "nosuid", "nodev", "noexec", "rw"],
    },
    ...(systemd ? ["/run", "/run/lock", "/tmp", "/var/log/journal"].map(systemdTmpfs) : []),
    ...(defaults.readOnly
      ? [
        scratchTmpfs("/run", "0755"),
        scratchTmpfs("/tmp", "1777"),
        scratchTmpfs("/var/tmp", "1777"),
      ]
        .filter(({ destination }) => !systemd || destination === "/var/tmp")
      : []),
    ...own("/etc/hostname", files.hostname),
    ...own("/etc/hosts", files.hosts),
    ...own("/etc/resolv.conf", files.resolvConf),
    ...own("/etc/passwd", files.passwd),
    ...own("/etc/group", files.group),
    ...own("/etc/localtime", files.localtime, "ro"),
    ...own("/run/.containerenv", files.containerenv),
  ];
}

function volumeMount({ containerPath, hostPath }: BoundVolume): SpecMount {
  return {
    destination: containerPath,
    type: "bind",
    source: hostPath,
    options: ["bind", "rprivate", "rw"],
  };
}

function systemdTmpfs(destination: string): SpecMount {
  return {
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "nodev", "mode=0755", "tmpcopyup", "rw"],
  };
}

function scratchTmpfs(destination: string, mode: string): SpecMount {
  return {
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "nodev", "noexec", `mode=${mode}`, "tmpcopyup", "rw"],
  };
}

const PROPAGATION = {
  private: "rprivate",
  "host-to-container": "rslave",
  bidirectional: "rshared",
} as const;

function requestMount(mount: ResolvedMount, { node }: SpecInputs): SpecMount {
  const field = "config.mounts.container_path";
  const destination = cleanPath(mount.containerPath, field);
  if (destination === "/") {
    throw new InvalidArgumentError("A mount cannot replace the container's root", {
      field,
      value: mount.containerPath,
    });
  }
  if (mount.recursiveReadOnly) checkRecursive(mount, node.recursiveReadOnlyMounts);
  const access = mount.recursiveReadOnly ? ["ro", "rro"] : [mount.readonly ? "ro" : "rw"];
  return {
    destination,
    type: "bind",
    source: mount.hostPath,
    options: ["rbind", PROPAGATION[mount.propagation], ...access, ...bindOptions(mount)],
  };
}

/** What the CRI lets a request add to a bind mount. */
const BIND_OPTIONS: ReadonlySet<string> = new Set(["noexec", "nodev", "nosuid"]);

function bindOptions({ options = [] }: ResolvedMount): string[] {
  for (const option of options) {
    if (BIND_OPTIONS.has(option)) continue;
    throw new InvalidArgumentError(`Mount option ${shown(option)} cannot be asked for`, {
      field: "config.mounts.mount_options",
      value: option,
      remedy: `use ${[...BIND_OPTIONS].join(", ")}`,
    });
  }
  return [...new Set(options)];
}

function checkRecursive(mount: ResolvedMount, supported: boolean): void {
  const details = { field: "config.mounts.recursive_read_only", value: mount.containerPath };
  const name = shown(mount.containerPath);
  if (!mount.readonly) {
    throw new InvalidArgumentError(
      `Mount ${name} is recursively read-only but not read-only`,
      details,
    );
  }
  if (mount.propagation !== "private") {
    throw new InvalidArgumentError(
      `Mount ${name} is recursively read-only, which needs private propagation`,
      details,
    );
  }
  if (!supported) {
    throw new FailedPreconditionError(
      `Mount ${name} is recursively read-only, which the runtime handler or the kernel cannot do`,
      details,
    );
  }
}
