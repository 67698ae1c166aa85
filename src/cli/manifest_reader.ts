/**
 * Reads a parsed YAML value by what is expected of it, and names the path of what is not.
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

/** A value of the manifest and where it stands: `spec.containers[0].env`. */
export class ManifestNode {
  readonly path: string;
  readonly value: unknown;

  constructor(path: string, value: unknown) {
    this.path = path;
    this.value = value;
  }

  get present(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  /** @throws {InvalidArgumentError} always */
  refuse(reason: string): never {
    throw new InvalidArgumentError(`${this.path || "The manifest"} ${reason}`, {
      field: this.path,
    });
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
      this.refuse(`must be ${words.join(" or ")}, not ${shown(text)}`);
  }

  list(): ManifestNode[] {
    if (!this.present) return [];
    if (!Array.isArray(this.value)) return this.refuse("must be a list");
    return this.value.map((item, index) => new ManifestNode(`${this.path}[${index}]`, item));
  }

  texts(): string[] {
    return this.list().map((item) => item.text());
  }

  textMap(): Record<string, string> {
    if (!this.present) return {};
    return Object.fromEntries(
      Object.entries(this.#entries()).map(([name, value]) => [
        name,
        new ManifestNode(`${this.path}.${name}`, value).text(),
      ]),
    );
  }

  /**
   * The named fields. A field that is neither among them nor `ignored` is refused, so that nothing
   * that somebody wrote is left out in silence.
   */
  fields<Name extends string>(
    names: readonly Name[],
    ignored: readonly string[] = [],
    onIgnored: (path: string) => void = () => {},
  ): Record<Name, ManifestNode> {
    const entries = this.present ? this.#entries() : {};
    for (const [name, value] of Object.entries(entries)) {
      if (names.some((known) => known === name) || value === null) continue;
      const path = this.#below(name);
      if (!ignored.includes(name)) new ManifestNode(path, value).refuse("is not supported");
      onIgnored(path);
    }
    return Object.fromEntries(
      names.map((name) => [
        name,
        new ManifestNode(
          this.#below(name),
          Object.hasOwn(entries, name) ? entries[name] : undefined,
        ),
      ]),
    ) as Record<Name, ManifestNode>;
  }

  #below(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  #entries(): Readonly<Record<string, unknown>> {
    if (typeof this.value === "object" && this.value !== null && !Array.isArray(this.value)) {
      return this.value as Record<string, unknown>;
    }
    return this.refuse("must be a mapping");
  }
}
