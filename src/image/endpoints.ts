/** Where a reference is asked for, by registries.conf: mirrors, and the registry itself. @module */
import { FailedPreconditionError, shown, UnimplementedError } from "../errors/mod.ts";
import type { ImageReference } from "./reference.ts";
import type { RegistriesConf, RegistryEntry } from "./registries_conf.ts";

/** One place to ask for an image. */
export interface Endpoint {
  /** `host` or `host:port`; Docker's own registry by the name of its API host. */
  readonly host: string;
  readonly repository: string;
  /** Tag or digest to ask for: that of the reference, unless a location names another tag. */
  readonly selected: string;
  /** Certificates are not verified, and plain HTTP is tried when HTTPS does not work. */
  readonly insecure: boolean;
  readonly role: "mirror" | "registry";
  /** The name at this place, for credentials: `quay.io/team/app`. */
  readonly name: string;
}

/**
 * The endpoints that serve a reference, in the order in which they are asked: mirrors, then the
 * registry itself.
 *
 * @throws {FailedPreconditionError} its entry is blocked; names file and entry
 * @throws {UnimplementedError} its entry, or the whole file, has something that is not built here
 */
export function endpoints(reference: ImageReference, conf: RegistriesConf): readonly Endpoint[] {
  if (conf.unbuilt.length > 0) throw unbuilt(conf.unbuilt.join(", "), reference);
  const entry = entryFor(reference, conf.registries);
  if (entry === undefined) {
    return [endpointOf(reference.repository, reference, false, "registry")];
  }
  if (entry.blocked) {
    throw new FailedPreconditionError(
      `Cannot pull ${reference}: the registry ${shown(entry.prefix)} is blocked in ${entry.file}`,
      { field: "image", value: String(reference), path: entry.file, remedy: "remove `blocked`" },
    );
  }
  if (entry.unbuilt.length > 0) {
    throw unbuilt(
      `${entry.unbuilt.join(", ")} of the registry ${shown(entry.prefix)} in ${entry.file}`,
      reference,
    );
  }
  const kind = reference.selector.kind;
  const mirrors = entry.mirrors.filter(({ serves }) =>
    serves === "all" || serves === `${kind}-only`
  );
  return [
    ...mirrors.map(({ location, insecure }) =>
      endpointOf(rewritten(reference, entry, location), reference, insecure, "mirror")
    ),
    endpointOf(rewritten(reference, entry, entry.location), reference, entry.insecure, "registry"),
  ];
}

function entryFor(
  reference: ImageReference,
  entries: readonly RegistryEntry[],
): RegistryEntry | undefined {
  let best: { readonly entry: RegistryEntry; readonly length: number } | undefined;
  for (const entry of entries) {
    const length = matchedLength(reference, entry.prefix);
    if (length > (best?.length ?? 0)) best = { entry, length };
  }
  return best?.entry;
}

/** How many characters of the reference the prefix covers; 0 if it does not fit. */
function matchedLength(reference: ImageReference, prefix: string): number {
  const text = String(reference);
  if (prefix.startsWith("*.")) {
    const host = reference.domain.replace(/:\d+$/, "");
    for (const domain of [reference.domain, host]) {
      if (domain.endsWith(prefix.slice(1))) return domain.length;
    }
    return 0;
  }
  if (!text.startsWith(prefix)) return 0;
  const next = text[prefix.length];
  // A colon: an entry for a host also concerns its ports, as it does for the other tools.
  return next === undefined || "/:@".includes(next) ? prefix.length : 0;
}

function rewritten(reference: ImageReference, entry: RegistryEntry, location: string): string {
  if (location === "") return reference.repository;
  return location + reference.repository.slice(matchedLength(reference, entry.prefix));
}

function endpointOf(
  place: string,
  reference: ImageReference,
  insecure: boolean,
  role: Endpoint["role"],
): Endpoint {
  const { name, tag } = placeParts(place);
  const slash = name.indexOf("/");
  const domain = slash < 0 ? name : name.slice(0, slash);
  if (slash < 0 || domain === "") {
    throw new FailedPreconditionError(`The registries file rewrites the name to ${shown(name)}`);
  }
  const path = name.slice(slash + 1);
  return {
    host: domain === "docker.io" ? "registry-1.docker.io" : domain,
    repository: domain === "docker.io" && !path.includes("/") ? `library/${path}` : path,
    // A digest is what the image is: no location changes it.
    selected: reference.selector.kind === "digest" ? reference.selected : tag ?? reference.selected,
    insecure,
    role,
    name,
  };
}

/** A rewritten name without the tag or digest that its location may bring. */
function placeParts(place: string): { readonly name: string; readonly tag: string | undefined } {
  const whole = place.split("@")[0]!;
  const colon = whole.indexOf(":", whole.lastIndexOf("/") + 1);
  return colon < 0 || !whole.includes("/")
    ? { name: whole, tag: undefined }
    : { name: whole.slice(0, colon), tag: whole.slice(colon + 1) };
}

function unbuilt(what: string, reference: ImageReference): UnimplementedError {
  return new UnimplementedError(`Cannot pull ${reference}: ${what} is not supported yet`, {
    field: "image",
    value: String(reference),
    remedy: "remove it from the registries file",
  });
}
