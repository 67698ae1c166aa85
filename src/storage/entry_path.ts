/**
 * Paths of archive entries, taken apart and checked before any of them reaches the kernel.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { encodePath } from "../sys/mod.ts";
import { MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES } from "./limits.ts";

/**
 * The names of a path below a layer's root; empty for the root itself (`/`, `./`). A leading slash means
 * the layer's root. `..` is refused, even where it would stay inside: no builder writes it, and
 * readers differ in what they make of it.
 *
 * @throws {InvalidArgumentError} empty, `..`, too long, too deep
 */
export function entryNames(path: string, what = "entry"): string[] {
  if (path === "") throw refused(what, path, "its path is empty");
  if (byteLength(path) > MAX_PATH_BYTES) {
    throw refused(what, path, `its path is longer than ${MAX_PATH_BYTES} bytes`);
  }
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (names.length > MAX_DEPTH) {
    throw refused(what, path, `it lies deeper than ${MAX_DEPTH} levels`);
  }
  for (const name of names) {
    if (name === "..") throw refused(what, path, "its path holds ..");
    if (byteLength(name) > MAX_NAME_BYTES) {
      throw refused(what, path, `a name in its path is longer than ${MAX_NAME_BYTES} bytes`);
    }
  }
  return names;
}

function byteLength(text: string): number {
  // Three bytes a UTF-16 unit at most: most texts need no encoding to be known as short.
  return text.length * 3 <= MAX_NAME_BYTES ? text.length : encodePath(text).length;
}

function refused(what: string, path: string, why: string): InvalidArgumentError {
  return new InvalidArgumentError(`Cannot unpack the ${what} ${shown(path)}: ${why}`, { path });
}
