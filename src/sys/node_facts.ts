/**
 * What this node can do, found out once at start.
 *
 * @module
 */
import { type Capability, parseCapabilitySets } from "./capabilities.ts";
import { type CgroupLayout, cgroupLayout } from "./cgroup_mounts.ts";
import { decodePath } from "./bytes_path.ts";
import { type MountEntry, parseMountInfo } from "./mounts.ts";

export interface NodeFacts {
  readonly bootId: string;
  readonly kernel: {
    /** `uname -r`. */
    readonly release: string;
    readonly major: number;
    readonly minor: number;
  };
  readonly cgroups: CgroupLayout;
  readonly capabilities: {
    readonly effective: readonly Capability[];
    readonly bounding: readonly Capability[];
  };
  /** Without CAP_SYS_RESOURCE, oom_score_adj and rlimits cannot pass our own. */
  readonly canRaiseLimits: boolean;
  /** Actions that the kernel's seccomp filter knows; empty if it has none. */
  readonly seccompActions: readonly string[];
  readonly appArmor: boolean;
  readonly seLinux: "disabled" | "permissive" | "enforcing";
  readonly userNamespaces: boolean;
  /** By kernel version: 5.12 for most local file systems, 5.19 for overlay. */
  readonly idMappedMounts: { readonly supported: boolean; readonly overlay: boolean };
  /** True if systemd runs as init here (sd_booted(3)). */
  readonly systemd: boolean;
  /** The service of systemd's that this process is in, if it is in one. */
  readonly serviceUnit: string | undefined;
  readonly mounts: readonly MountEntry[];
}

export interface NodeFactsOptions {
  /** Below which /proc, /sys and /run are looked up. Default: the real root. */
  readonly root?: string;
}

/** Reads the facts; what cannot be read counts as missing. */
export function detectNodeFacts({ root = "" }: NodeFactsOptions = {}): NodeFacts {
  const read = (path: string): string | undefined => readText(`${root}${path}`);
  const release = (read("/proc/sys/kernel/osrelease") ?? "").trim();
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const capabilities = parseCapabilitySets(read("/proc/self/status") ?? "");
  const mounts = parseMountInfo(readRaw(`${root}/proc/self/mountinfo`));
  const atLeast = (wantedMajor: number, wantedMinor: number): boolean =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  return {
    bootId: (read("/proc/sys/kernel/random/boot_id") ?? "").trim(),
    kernel: { release, major, minor },
    cgroups: cgroupLayout(
      mounts,
      (mountPoint) => words(read(`${mountPoint}/cgroup.controllers`)),
    ),
    capabilities,
    canRaiseLimits: capabilities.effective.includes("CAP_SYS_RESOURCE"),
    seccompActions: words(read("/proc/sys/kernel/seccomp/actions_avail")),
    appArmor: read("/sys/module/apparmor/parameters/enabled")?.trim() === "Y",
    seLinux: seLinuxMode(read("/sys/fs/selinux/enforce")),
    userNamespaces: Number(read("/proc/sys/user/max_user_namespaces") ?? "0") > 0,
    idMappedMounts: { supported: atLeast(5, 12), overlay: atLeast(5, 19) },
    systemd: isDirectory(`${root}/run/systemd/system`),
    serviceUnit: serviceUnitOf(read("/proc/self/cgroup") ?? ""),
    mounts,
  };
}

/**
 * The innermost service in the text of /proc/<pid>/cgroup, in systemd's own hierarchy; names with escapes
 * are passed over.
 */
export function serviceUnitOf(cgroups: string): string | undefined {
  const path = /^(?:0::|\d+:name=systemd:)(.*)$/m.exec(cgroups)?.[1] ?? "";
  return path.split("/").findLast((part) => /^[A-Za-z0-9:_.@-]{1,255}\.service$/.test(part));
}

function seLinuxMode(enforce: string | undefined): NodeFacts["seLinux"] {
  if (enforce === undefined) return "disabled";
  return enforce.trim() === "1" ? "enforcing" : "permissive";
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

/** Mount points may hold bytes that are not UTF-8. */
function readRaw(path: string): string {
  try {
    return decodePath(Deno.readFileSync(path));
  } catch {
    return "";
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
