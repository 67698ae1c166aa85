/**
 * Whiteouts in layer archives (OCI image specification, "Representing Changes"): `.wh.NAME` says that
 * NAME of the layers below is gone, `.wh..wh..opq` that everything of the layers below is.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

export type EntryMeaning =
  | { readonly kind: "entry" }
  /** `name` of the layers below is hidden. */
  | { readonly kind: "whiteout"; readonly name: string }
  /** Everything that the layers below have in this directory is hidden. */
  | { readonly kind: "opaque" }
  /** Book-keeping of AUFS that old builders left in: nothing is made from it. */
  | { readonly kind: "ignored" };

/** Before the name that is hidden. */
export const WHITEOUT_PREFIX = ".wh.";
/** Hides everything that the layers below have in its directory. */
export const OPAQUE_NAME = ".wh..wh..opq";
const AUFS = new Set([".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk"]);
const ENTRY: EntryMeaning = { kind: "entry" };

/**
 * What the names of a path (checked, without empty ones) ask for.
 *
 * @throws {InvalidArgumentError} a whiteout without a name, of `.` or `..`, of a whiteout, or used
 *   as a directory
 */
export function meaningOf(names: readonly string[]): EntryMeaning {
  const last = names.at(-1);
  if (last === undefined) return ENTRY;
  for (const name of names) {
    if (!name.startsWith(WHITEOUT_PREFIX)) continue;
    if (AUFS.has(name)) return { kind: "ignored" };
    if (name !== last) throw refused(names, "a whiteout cannot be a directory");
  }
  if (!last.startsWith(WHITEOUT_PREFIX)) return ENTRY;
  if (names.indexOf(last) !== names.length - 1) {
    throw refused(names, "a whiteout cannot be a directory");
  }
  if (last === OPAQUE_NAME) return { kind: "opaque" };
  const name = last.slice(WHITEOUT_PREFIX.length);
  if (name === "" || name === "." || name === "..") throw refused(names, "it hides no name");
  if (name.startsWith(WHITEOUT_PREFIX)) throw refused(names, "it hides a whiteout");
  return { kind: "whiteout", name };
}

function refused(names: readonly string[], why: string): InvalidArgumentError {
  const path = names.join("/");
  return new InvalidArgumentError(`Cannot unpack the whiteout ${shown(path)}: ${why}`, { path });
}
