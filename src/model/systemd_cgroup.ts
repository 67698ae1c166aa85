/**
 * Where systemd puts the cgroups of its units. A container of the systemd driver is a scope in the slice
 * of its pod:
 *
 * ```text
 * kubepods-burstable-pod1.slice
 *   -> /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice     its cgroup
 *      .../crio-<id>.scope                                                        a container's cgroup
 * kubepods-burstable-pod1.slice:crio:<id>                    the same container in its specification
 * ```
 *
 * @module
 */

const SLICE = ".slice";
const SCOPE = ".scope";
const SCOPE_PREFIX = "crio";
/** systemd's UNIT_NAME_MAX. */
const UNIT_NAME_MAX = 255;

/** True for the name or the path of a slice, as far as its ending tells. */
export function isSlice(nameOrPath: string): boolean {
  return nameOrPath.endsWith(SLICE);
}

/** True for the cgroup of a container that systemd made. */
export function isScope(cgroupPath: string): boolean {
  return cgroupPath.endsWith(SCOPE);
}

/** The unit that a cgroup path ends in, or a name that has no path. */
export function unitOf(cgroupPath: string): string {
  return cgroupPath.slice(cgroupPath.lastIndexOf("/") + 1);
}

/**
 * The cgroup of a slice: each dash in its name is a level. Undefined if systemd knows no such name,
 * and for the root slice, in which there is nothing of ours.
 *
 * @example
 * sliceCgroup("a-b.slice") // "/a.slice/a-b.slice"
 */
export function sliceCgroup(name: string): string | undefined {
  if (!isSlice(name) || name.length > UNIT_NAME_MAX) return undefined;
  const parts = name.slice(0, -SLICE.length).split("-");
  if (!parts.every((part) => /^[A-Za-z0-9:_.\\]+$/.test(part))) return undefined;
  return parts
    .map((_, index) => `/${parts.slice(0, index + 1).join("-")}${SLICE}`)
    .join("");
}

/** The cgroup of a container below its pod's. */
export function containerCgroup(parent: string, id: string): string {
  return `${parent}/${SCOPE_PREFIX}-${id}${isSlice(parent) ? SCOPE : ""}`;
}

/** A container's cgroup as its specification names it. */
export function specCgroupsPath(cgroupPath: string): string {
  if (!isScope(cgroupPath)) return cgroupPath;
  const [slice = "", scope = ""] = cgroupPath.split("/").slice(-2);
  return `${slice}:${SCOPE_PREFIX}:${scope.slice(SCOPE_PREFIX.length + 1, -SCOPE.length)}`;
}

/** The scope of a container's monitor. */
export function monitorScope(id: string): string {
  return `${SCOPE_PREFIX}-conmon-${id}${SCOPE}`;
}
