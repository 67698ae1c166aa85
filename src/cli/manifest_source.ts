/**
 * YAML documents of a manifest as nodes that know their lines.
 *
 * @module
 */
import { type Document, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from "yaml";
import { InvalidArgumentError } from "../errors/mod.ts";
import { ManifestNode, type ManifestPlaces, type PathSegment } from "./manifest_reader.ts";

/** The largest manifest that is read. */
export const MANIFEST_LIMIT_BYTES = 1 << 20;

/**
 * The documents of a YAML text that are not empty.
 *
 * @param file named in messages; undefined for standard input
 * @throws {InvalidArgumentError} the text is no YAML, or uses aliases
 */
export function manifestDocuments(text: string, file?: string): ManifestNode[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: "1.2",
    schema: "core",
    uniqueKeys: true,
    intAsBigInt: true,
    prettyErrors: true,
    logLevel: "error",
    lineCounter: lines,
  });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const [problem] = document.errors;
    if (problem !== undefined) {
      throw new InvalidArgumentError(`Cannot read the manifest: ${problem.message.split("\n")[0]}`);
    }
    // An alias can make a small text huge.
    const value: unknown = document.toJS({ maxAliasCount: 0 });
    return value === null ? [] : [
      new ManifestNode(value, { places: new DocumentPlaces(document, lines, file), path: [] }),
    ];
  });
}

class DocumentPlaces implements ManifestPlaces {
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #file: string | undefined;

  constructor(document: Document, lines: LineCounter, file: string | undefined) {
    this.#document = document;
    this.#lines = lines;
    this.#file = file;
  }

  /** Where a field stands, or what would hold it if it is missing: `pod.yaml, line 7`. */
  placeOf(path: readonly PathSegment[]): string {
    const { offset } = find(this.#document.contents, path);
    const line = `line ${this.#lines.linePos(offset).line}`;
    return this.#file === undefined ? line : `${this.#file}, ${line}`;
  }

  writtenAs(path: readonly PathSegment[]): string | undefined {
    const { node } = find(this.#document.contents, path);
    return isScalar(node) ? node.source : undefined;
  }
}

/** The node at a path and where its key begins; of a missing one, what would hold it. */
function find(
  root: unknown,
  path: readonly PathSegment[],
): { readonly node: unknown; readonly offset: number } {
  let node = root;
  let offset = rangeStart(node) ?? 0;
  for (const segment of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) =>
        (isScalar(key) ? String(key.value) : String(key)) === segment
      );
      if (pair === undefined) return { node: undefined, offset };
      offset = rangeStart(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(segment)];
      if (item === undefined) return { node: undefined, offset };
      offset = rangeStart(item) ?? offset;
      node = item;
    } else return { node: undefined, offset };
  }
  return { node, offset };
}

function rangeStart(node: unknown): number | undefined {
  const { range } = Object(node) as { range?: readonly [number, number, number] | null };
  return range?.[0];
}
