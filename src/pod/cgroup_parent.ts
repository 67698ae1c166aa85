/** Where pods have their cgroups. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { isSlice, sliceCgroup, unitOf } from "../model/mod.ts";

export interface CgroupSettings {
  /** Who makes the cgroups of pods to come; those that are there stay as they are. */
  readonly cgroupDriver: "cgroupfs" | "systemd";
  /** Cgroup of pods that name none. */
  readonly defaultCgroupParent: string;
}

/**
 * The pod's cgroup: what the request names, in the form of the driver in use.
 *
 * @throws {InvalidArgumentError} it has the form of the other driver, or none that systemd knows
 */
export function cgroupParentOf(
  parent: string,
  { cgroupDriver, defaultCgroupParent }: CgroupSettings,
): string {
  if (parent === "") return defaultCgroupParent;
  const refuse = (why: string, remedy: string) =>
    new InvalidArgumentError(`config.linux.cgroup_parent ${shown(parent)} ${why}`, {
      field: "config.linux.cgroup_parent",
      value: parent,
      remedy,
    });
  if (cgroupDriver === "cgroupfs") {
    if (!isSlice(parent)) return parent;
    throw refuse(
      "is a systemd slice, but the cgroup driver is cgroupfs",
      "set the kubelet's cgroupDriver to cgroupfs, or cgroup_manager here to systemd",
    );
  }
  if (!isSlice(parent)) {
    throw refuse(
      "is no systemd slice, but the cgroup driver is systemd",
      "set the kubelet's cgroupDriver to systemd, or cgroup_manager here to cgroupfs",
    );
  }
  // A slice's name says where it is; what stands before it is the same in other words.
  const cgroup = sliceCgroup(unitOf(parent));
  if (cgroup !== undefined) return cgroup;
  throw refuse("is no name of a slice", "give a name such as kubepods-besteffort-pod1.slice");
}
