/** Paths of the kernel that a container may not see or write. @module */
import type { LinuxContainerSecurityContext } from "../proto/mod.ts";
import { cleanPath } from "./container_path.ts";

/** Hidden whenever a request hides anything: they tell about, or act on, the whole node. */
const ALWAYS_MASKED: readonly string[] = [
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
  "/sys/fs/selinux",
];

/** Read-only for a request without any security context. */
const DEFAULT_READONLY: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

export interface KernelPaths {
  readonly maskedPaths: string[];
  readonly readonlyPaths: string[];
}

/**
 * The request's lists, the masked one completed; none for a privileged container, nor for an empty
 * list, which is how the kubelet says "unmasked". A request without a security context has said
 * nothing and gets the defaults.
 *
 * @throws {InvalidArgumentError} a path is relative
 */
export function buildKernelPaths(
  security: LinuxContainerSecurityContext | undefined,
  thermalThrottlePaths: readonly string[] = [],
): KernelPaths {
  const always = [...ALWAYS_MASKED, ...thermalThrottlePaths];
  if (security === undefined) {
    return { maskedPaths: always, readonlyPaths: [...DEFAULT_READONLY] };
  }
  if (security.privileged) return { maskedPaths: [], readonlyPaths: [] };
  const context = "config.linux.security_context";
  const masked = security.maskedPaths.map((path) => cleanPath(path, `${context}.masked_paths`));
  return {
    maskedPaths: masked.length === 0 ? [] : [...new Set([...masked, ...always])].sort(),
    readonlyPaths: security.readonlyPaths.map((path) =>
      cleanPath(path, `${context}.readonly_paths`)
    ),
  };
}
