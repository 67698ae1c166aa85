/** Which registries a name without one may mean. @module */
import { FailedPreconditionError, shown } from "../errors/mod.ts";
import { type ImageName, ImageReference, qualify } from "./reference.ts";
import type { RegistriesConf, ShortNameMode } from "./registries_conf.ts";

/**
 * Complete references that a name may mean, in the order in which they are tried.
 *
 * @param mode the runtime's own `short_name_mode`, which goes before the file's
 * @throws {FailedPreconditionError} a short name that nothing completes, or that fits several
 *   registries while the mode is enforcing: lists them
 */
export function candidates(
  name: ImageName,
  conf: RegistriesConf,
  mode?: ShortNameMode,
): readonly ImageReference[] {
  if (name.kind === "qualified") return [name.reference];
  const alias = conf.aliases.get(name.path);
  if (alias !== undefined && alias !== "") {
    const slash = alias.indexOf("/");
    return [ImageReference.of(alias.slice(0, slash), alias.slice(slash + 1), name.selector)];
  }
  const found = conf.searchRegistries.map((registry) => qualify(name, registry));
  const where = conf.files.length > 0 ? conf.files.join(", ") : "no registries file";
  if (found.length === 0) {
    throw new FailedPreconditionError(
      `Cannot tell the registry of the short name ${shown(name.path)}: ${where} has neither an ` +
        "alias for it nor unqualified-search-registries",
      {
        field: "image",
        value: name.path,
        remedy: `write it in full: docker.io/library/${name.path}`,
      },
    );
  }
  const effective = mode ?? conf.shortNameMode ?? "enforcing";
  // Permissive means asking at a terminal, which a server has not: all are tried, as with disabled.
  if (found.length > 1 && effective === "enforcing") {
    throw new FailedPreconditionError(
      `The short name ${shown(name.path)} may be ${found.join(", ")}, and short names are enforced`,
      {
        field: "image",
        value: name.path,
        remedy: `write one of them in full, or set short_name_mode to disabled (${where})`,
      },
    );
  }
  return found;
}
