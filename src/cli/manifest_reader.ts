/**
 * Reads a parsed YAML value by what is expected of it, and names the path and the line of what is
 * not.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { nearest } from "../errors/nearest.ts";

export type PathSegment = string | number;

/** Knows where in a file the fields of a document stand. */
export interface ManifestPlaces {
  placeOf(path: readonly PathSegment[]): string;
  /** The text of a scalar before YAML made a value of it. */
  writtenAs(path: readonly PathSegment[]): string | undefined;
}

export interface NodePosition {
  /** Undefined for values that come from no file. */
  readonly places?: ManifestPlaces;
  readonly path: readonly PathSegment[];
}

/** What to do with the fields that are not read. */
export interface OtherFields {
  /** Say nothing to a single node: `onIgnored` is told their paths. */
  readonly ignored?: readonly string[];
  readonly onIgnored?: (path: string) => void;
  /** Kubernetes knows them, and they are not built here: refused, with the remedy if it has one. */
  readonly unsupported?: Readonly<Record<string, string>> | readonly string[];
}

/** A value of the manifest and where it stands: `spec.containers[0].env`. */
export class ManifestNode {
  readonly value: unknown;
  readonly #position: NodePosition;

  constructor(value: unknown, position: NodePosition = { path: [] }) {
    this.value = value;
    this.#position = position;
  }

  get path(): string {
    return this.#position.path.reduce<string>(
      (path, segment) =>
        typeof segment === "number"
          ? `${path}[${segment}]`
          : path === ""
          ? segment
          : `${path}.${segment}`,
      "",
    );
  }

  get present(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  /** The text that was written, which YAML may have read in another way: `0644`. */
  get written(): string | undefined {
    return this.#position.places?.writtenAs(this.#position.path);
  }

  /** @throws {InvalidArgumentError} always */
  refuse(reason: string, remedy?: string): never {
    const place = this.#position.places?.placeOf(this.#position.path);
    throw new InvalidArgumentError(
      `${this.path || "The manifest"} ${reason}${place === undefined ? "" : ` (${place})`}`,
      { field: this.path, ...(remedy === undefined ? {} : { remedy }) },
    );
  }

  text(fallback?: string): string {
    if (!this.present && fallback !== undefined) return fallback;
    if (typeof this.value === "string") return this.value;
    return this.refuse(this.present ? "must be a string" : "is missing");
  }

  boolean(fallback: boolean): boolean {
    if (!this.present) return fallback;
    return typeof this.value === "boolean" ? this.value : this.refuse("must be true or false");
  }

  integer(fallback?: bigint): bigint {
    if (!this.present && fallback !== undefined) return fallback;
    if (typeof this.value === "bigint") return this.value;
    return this.refuse(this.present ? "must be an integer" : "is missing");
  }

  /** One of a few words. */
  word<Word extends string>(words: readonly Word[], fallback: Word): Word {
    const text = this.text(fallback);
    return words.find((word) => word === text) ??
      this.refuse(`must be ${words.filter(Boolean).join(" or ")}, not ${shown(text)}`);
  }

  list(): ManifestNode[] {
    if (!this.present) return [];
    if (!Array.isArray(this.value)) return this.refuse("must be a list");
    return this.value.map((item, index) => this.#child(index, item));
  }

  texts(): string[] {
    return this.list().map((item) => item.text());
  }

  /** The entries of a mapping whose keys are names that somebody chose. */
  entries(): [name: string, node: ManifestNode][] {
    if (!this.present) return [];
    return Object.entries(this.#entries()).map(([name, value]) => [name, this.#child(name, value)]);
  }

  textMap(): Record<string, string> {
    return Object.fromEntries(this.entries().map(([name, node]) => [name, node.text()]));
  }

  /**
   * The named fields. A field that is neither among them nor ignored is refused, so that nothing
   * that somebody wrote is left out in silence.
   */
  fields<Name extends string>(
    names: readonly Name[],
    others: OtherFields = {},
  ): Record<Name, ManifestNode> {
    const entries = this.present ? this.#entries() : {};
    for (const [name, value] of Object.entries(entries)) {
      if (names.some((known) => known === name) || value === null) continue;
      this.#judge(this.#child(name, value), name, names, others);
    }
    return Object.fromEntries(
      names.map((name) => [
        name,
        this.#child(name, Object.hasOwn(entries, name) ? entries[name] : undefined),
      ]),
    ) as Record<Name, ManifestNode>;
  }

  #judge(
    node: ManifestNode,
    name: string,
    names: readonly string[],
    { ignored = [], onIgnored = () => {}, unsupported = [] }: OtherFields,
  ): void {
    if (ignored.includes(name)) {
      onIgnored(node.path);
      return;
    }
    const remedies = isList(unsupported) ? {} : unsupported;
    const refused = isList(unsupported) ? unsupported : Object.keys(unsupported);
    if (refused.includes(name)) node.refuse("is not supported", remedies[name] || undefined);
    const near = nearest(name, [...names, ...ignored, ...refused]);
    node.refuse(
      `is no field of a manifest${near === undefined ? "" : `, perhaps ${near} is meant`}`,
    );
  }

  /** One field of an object whose others are read elsewhere. */
  child(name: string): ManifestNode {
    const entries = this.#entries();
    return this.#child(name, Object.hasOwn(entries, name) ? entries[name] : undefined);
  }

  #child(segment: PathSegment, value: unknown): ManifestNode {
    return new ManifestNode(value, {
      ...this.#position,
      path: [...this.#position.path, segment],
    });
  }

  #entries(): Readonly<Record<string, unknown>> {
    if (typeof this.value === "object" && this.value !== null && !Array.isArray(this.value)) {
      return this.value as Record<string, unknown>;
    }
    return this.refuse("must be a mapping");
  }
}

function isList(value: unknown): value is readonly string[] {
  return Array.isArray(value);
}
