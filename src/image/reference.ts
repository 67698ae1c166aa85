/**
 * Names of images: `[domain/]path[:tag][@digest]`, parsed once and normalised.
 *
 * Follows the reference grammar of the OCI distribution specification with Docker's defaults: a name
 * without a domain is *short*, `docker.io` keeps its one-word repositories below `library/`, a
 * name without tag and digest means `latest`, and a tag beside a digest is dropped.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { type Digest, isDigest } from "../model/mod.ts";

/** Longest `domain/path`, in characters. */
export const MAX_REPOSITORY_LENGTH = 255;
/** Longest text that is looked at: repository, tag and a sha512 digest. */
const MAX_REFERENCE_LENGTH = MAX_REPOSITORY_LENGTH + 1 + 128 + 1 + 135;

const DOMAIN_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const DOMAIN = new RegExp(
  `^(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?$`,
);
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const BARE_ID = /^[0-9a-f]{64}$/;

/** What a name points at inside its repository. */
export type Selector =
  | { readonly kind: "tag"; readonly tag: string }
  | { readonly kind: "digest"; readonly digest: Digest };

/**
 * A complete reference: it exists only if valid, and its text is its identity.
 *
 * @example
 * ```ts
 * import { parseReference } from "./reference.ts";
 * String(parseReference("busybox")); // docker.io/library/busybox:latest
 * ```
 */
export class ImageReference {
  /** `host` or `host:port`, as in the text; never the aliases of Docker's own registry. */
  readonly domain: string;
  /** `library/busybox`. */
  readonly path: string;
  readonly selector: Selector;

  /** Only for this module: parts must be checked. */
  private constructor(domain: string, path: string, selector: Selector) {
    this.domain = domain;
    this.path = path;
    this.selector = selector;
  }

  /** @throws {InvalidArgumentError} a part breaks the grammar, or the whole is too long */
  static of(domain: string, path: string, selector: Selector): ImageReference {
    const text = `${domain}/${path}`;
    if (!DOMAIN.test(domain)) throw invalid(text, `its registry ${shown(domain)} is not a host`);
    checkPath(path, text);
    const canonical = domain === "index.docker.io" ? "docker.io" : domain;
    const full = canonical === "docker.io" && !path.includes("/") ? `library/${path}` : path;
    if (canonical.length + 1 + full.length > MAX_REPOSITORY_LENGTH) {
      throw invalid(text, `its repository is longer than ${MAX_REPOSITORY_LENGTH} characters`);
    }
    return new ImageReference(canonical, full, selector);
  }

  /** `docker.io/library/busybox`. */
  get repository(): string {
    return `${this.domain}/${this.path}`;
  }

  /** The tag or digest, as a registry wants it in a URL. */
  get selected(): string {
    return this.selector.kind === "tag" ? this.selector.tag : this.selector.digest;
  }

  /** The same repository with a digest. */
  withDigest(digest: Digest): ImageReference {
    return new ImageReference(this.domain, this.path, { kind: "digest", digest });
  }

  toString(): string {
    return this.selector.kind === "tag"
      ? `${this.repository}:${this.selector.tag}`
      : `${this.repository}@${this.selector.digest}`;
  }
}

/** A name as a user writes it: complete, or without a registry. */
export type ImageName =
  | { readonly kind: "qualified"; readonly reference: ImageReference }
  | { readonly kind: "short"; readonly path: string; readonly selector: Selector };

/**
 * Parses what a user gives; a leading `docker://` is accepted.
 *
 * @throws {InvalidArgumentError} not a name; says which part and why
 */
export function parseImageName(text: string, field = "image"): ImageName {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new InvalidArgumentError(error.message, { ...error.details, field });
  }
}

/**
 * Parses a name and completes a short one with Docker's own registry, as archives mean it.
 *
 * @throws {InvalidArgumentError} not a name; says which part and why
 */
export function parseReference(text: string, field = "image"): ImageReference {
  const name = parseImageName(text, field);
  return name.kind === "qualified" ? name.reference : qualify(name, "docker.io");
}

/** A short name in the given registry, which may carry a path: `example.com/mirror`. */
export function qualify(
  name: { readonly path: string; readonly selector: Selector },
  registry: string,
): ImageReference {
  const slash = registry.indexOf("/");
  return slash < 0 ? ImageReference.of(registry, name.path, name.selector) : ImageReference.of(
    registry.slice(0, slash),
    `${registry.slice(slash + 1)}/${name.path}`,
    name.selector,
  );
}

/** True for text such as `host`, `host:5000` or `host/path`: a place that repositories lie below. */
export function isRepositoryPrefix(text: string): boolean {
  const [domain, ...path] = text.split("/");
  return text.length <= MAX_REPOSITORY_LENGTH && domain !== undefined && DOMAIN.test(domain) &&
    path.every((component) => PATH_COMPONENT.test(component));
}

function parse(text: string): ImageName {
  if (text.length > MAX_REFERENCE_LENGTH) {
    throw invalid(text, `it is longer than ${MAX_REFERENCE_LENGTH} characters`);
  }
  const bare = text.startsWith("docker://") ? text.slice("docker://".length) : text;
  if (bare === "") throw invalid(text, "it is empty");
  if (BARE_ID.test(bare)) throw invalid(text, "64 hexadecimal digits are an image id");
  const { name, selector } = split(bare);
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  if (/[.:[]/.test(first) || first === "localhost" || first !== first.toLowerCase()) {
    return {
      kind: "qualified",
      reference: ImageReference.of(first, name.slice(slash + 1), selector),
    };
  }
  checkPath(name, text);
  if (name.length > MAX_REPOSITORY_LENGTH) {
    throw invalid(text, `its repository is longer than ${MAX_REPOSITORY_LENGTH} characters`);
  }
  return { kind: "short", path: name, selector };
}

function split(text: string): { readonly name: string; readonly selector: Selector } {
  const at = text.indexOf("@");
  const tagged = at < 0 ? text : text.slice(0, at);
  const colon = tagged.indexOf(":", tagged.lastIndexOf("/") + 1);
  const name = colon < 0 ? tagged : tagged.slice(0, colon);
  const tag = colon < 0 ? undefined : tagged.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `its tag ${shown(tag)} is not one`);
  if (at < 0) return { name, selector: { kind: "tag", tag: tag ?? "latest" } };
  const digest = text.slice(at + 1);
  if (!isDigest(digest)) {
    throw invalid(text, `its digest ${shown(digest)} is neither sha256 nor sha512`);
  }
  return { name, selector: { kind: "digest", digest: digest as Digest } };
}

function checkPath(path: string, text: string): void {
  for (const component of path.split("/")) {
    if (PATH_COMPONENT.test(component)) continue;
    throw invalid(
      text,
      component !== component.toLowerCase()
        ? `its repository ${shown(path)} must be lower case`
        : `${shown(component)} cannot stand in a repository's path`,
    );
  }
}

function invalid(text: string, why: string): InvalidArgumentError {
  return new InvalidArgumentError(`${shown(text)} is not an image reference: ${why}`, {
    value: text.slice(0, 128),
    remedy: "write it as registry.example.com/path/name:tag or ...name@sha256:<digest>",
  });
}
