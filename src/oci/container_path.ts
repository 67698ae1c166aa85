/** Paths inside a container, as text. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { normalPath } from "../model/mod.ts";

/**
 * The path in its normal form. Symbolic links are not looked at: the OCI runtime resolves them inside
 * the container.
 *
 * @throws {InvalidArgumentError} the path is relative or holds a line break or NUL
 */
export function cleanPath(path: string, field: string): string {
  const normal = normalPath(path);
  if (normal !== undefined) return normal;
  throw new InvalidArgumentError(`${field} ${shown(path)} is not an absolute path`, {
    field,
    value: path,
    remedy: "give a path that starts with / and has no line break",
  });
}

/** True if `path` is `base` or lies below it; both clean. */
export function isAtOrBelow(path: string, base: string): boolean {
  return base === "/" || path === base || path.startsWith(`${base}/`);
}

/** Number of directories above the path's last part; 0 for `/`. */
export function depthOf(path: string): number {
  return path === "/" ? 0 : path.split("/").length - 1;
}
