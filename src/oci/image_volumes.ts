/** The volumes that an image declares: which of them a container gets. @module */
import type { ImageConfig } from "../image/images.ts";
import { cleanPath, isAtOrBelow } from "./container_path.ts";

/** Trees of the kernel and of the runtime: an image's volume is not put over them. */
const RESERVED: readonly string[] = ["/proc", "/sys", "/dev"];
/** Files that the runtime brings itself. */
const OWN_FILES: ReadonlySet<string> = new Set([
  "/etc/group",
  "/etc/hostname",
  "/etc/hosts",
  "/etc/localtime",
  "/etc/passwd",
  "/etc/resolv.conf",
  "/run/.containerenv",
]);

/**
 * Paths of the image's volumes, clean and without repetition. Left out are the root itself, what the
 * runtime brings, and what lies at or below a mount of the request: that is the pod's, and nothing
 * is to be made in it because an image says so.
 *
 * @param mounted container paths of the request's mounts
 * @throws {InvalidArgumentError} a path holds a line break or NUL
 */
export function imageVolumes(
  image: Pick<ImageConfig, "volumes">,
  mounted: readonly string[],
): string[] {
  const taken = [
    ...RESERVED,
    ...mounted.map((path) => cleanPath(path, "config.mounts.container_path")),
  ];
  // As text, `..` cannot climb above the root (CVE-2022-23648); links are the opener's matter.
  const paths = image.volumes.map((path) =>
    cleanPath(path.startsWith("/") ? path : `/${path}`, "image.volumes")
  );
  return [...new Set(paths)].filter((path) =>
    path !== "/" && !OWN_FILES.has(path) && !taken.some((base) => isAtOrBelow(path, base))
  ).sort();
}
