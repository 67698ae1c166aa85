/** Paths inside a container, as text. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

/**
 * An absolute path without `.`, `..`, empty parts and a slash at its end. Symbolic links are not
 * looked at: the OCI runtime resolves them inside the container.
 *
 * @throws {InvalidArgumentError} the path is relative or holds a line break or NUL
 */
export function cleanPath(path: string, field: string): string {
  if (!path.startsWith("/") || /[\n\r\0]/.test(path)) {
    throw new InvalidArgumentError(`${field} ${shown(path)} is not an absolute path`, {
      field,
      value: path,
      remedy: "give a path that starts with / and has no line break",
    });
  }
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** True if `path` is `base` or lies below it; both clean. */
export function isAtOrBelow(path: string, base: string): boolean {
  return base === "/" || path === base || path.startsWith(`${base}/`);
}

/** Number of directories above the path's last part; 0 for `/`. */
export function depthOf(path: string): number {
  return path === "/" ? 0 : path.split("/").length - 1;
}
