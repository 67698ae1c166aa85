/**
 * Which cgroup hierarchies this node has and where.
 *
 * @module
 */
import type { MountEntry } from "./mounts.ts";

/** One cgroup file system. */
export interface CgroupHierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  /** v1: mounted controllers, or `name=systemd`; v2: controllers available at its root. */
  readonly controllers: readonly string[];
}

export interface CgroupLayout {
  /**
   * `unified`: v2 alone. `legacy`: v1 alone. `hybrid`: v1 with a v2 hierarchy beside it, which has at
   * most the controllers that v1 left over.
   */
  readonly mode: "unified" | "legacy" | "hybrid" | "none";
  readonly hierarchies: readonly CgroupHierarchy[];
}

/** Controllers and markers among a v1 mount's super options; the rest are flags. */
const V1_FLAGS: ReadonlySet<string> = new Set([
  "rw",
  "ro",
  "noprefix",
  "xattr",
  "clone_children",
  "favordynmods",
  "cpuset_v2_mode",
]);

export function cgroupLayout(
  mounts: readonly MountEntry[],
  v2Controllers: (mountPoint: string) => readonly string[],
): CgroupLayout {
  const hierarchies: CgroupHierarchy[] = [];
  for (const { type, root, mountPoint, superOptions } of mounts) {
    // A bind mount of one group is not the hierarchy.
    if (root !== "/") continue;
    if (type === "cgroup2") {
      hierarchies.push({ version: 2, mountPoint, controllers: v2Controllers(mountPoint) });
    } else if (type === "cgroup") {
      const controllers = superOptions.filter((option) =>
        !V1_FLAGS.has(option) && !option.startsWith("release_agent=")
      );
      hierarchies.push({ version: 1, mountPoint, controllers });
    }
  }
  const unique = hierarchies.filter((one, index) =>
    hierarchies.findIndex((other) =>
      other.version === one.version &&
      other.controllers.join() === one.controllers.join()
    ) === index
  );
  const v1 = unique.some(({ version }) => version === 1);
  const v2 = unique.some(({ version }) => version === 2);
  return { mode: v1 ? v2 ? "hybrid" : "legacy" : v2 ? "unified" : "none", hierarchies: unique };
}
